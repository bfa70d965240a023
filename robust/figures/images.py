"""Figures show images of any number of channels."""

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


def plot_image(axes: Axes, image: Float[Tensor, "c h w"]) -> None:
    """Show pixels in [0, 1], grey or RGB; other numbers of channels as their mean."""
    image = image.detach().cpu()
    pixels = image.permute(1, 2, 0) if len(image) == 3 else image.mean(dim=0)
    axes.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
