"""Total variation minimization beside scikit-image, and with a mask beside CVXPY."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from robust.transforms import TotalVariation

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def photo():
    """A part of a photograph, (1, 3, 24, 20) in float32."""
    crop = load_sample_image("china.jpg")[100:196:4, 200:280:4].transpose(2, 0, 1)
    return torch.from_numpy(crop / np.float32(255)).unsqueeze(0).contiguous()


@pytest.mark.parametrize("strength", [0.01, 0.03, 0.1])
def test_chambolle(photo, strength):
    restoration = pytest.importorskip("skimage.restoration")
    ours = TotalVariation(strength, 0.0, iterations=4000)(photo)[0].numpy()
    theirs = restoration.denoise_tv_chambolle(
        photo[0].double().numpy(), strength, eps=1e-15, max_num_iter=20_000, channel_axis=0
    )
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("strength", [0.03, 0.1])
def test_split_bregman(photo, strength):
    """Anisotropic, where its shrinkage is exact; on mirrored tiles, as it fixes what is outside.

    Its isotropic shrinkage, s^2 / (s + 1 / lambda), is that of another function than the length.
    """
    restoration = pytest.importorskip("skimage.restoration")
    ours = TotalVariation(strength, 0.0, iterations=4000, norm="anisotropic")(photo)[0].numpy()
    tiled = np.pad(photo[0].double().numpy(), [(0, 0), (24, 24), (20, 20)], mode="symmetric")
    theirs = restoration.denoise_tv_bregman(
        tiled, 1 / strength, eps=1e-9, max_num_iter=20_000, isotropic=False, channel_axis=0
    )[:, 24:48, 20:40]
    assert np.abs(ours - theirs).max() < 1e-4


def solved(cvxpy, x, observed, strength, norm):
    """Value and minimizer of one channel."""
    z = cvxpy.Variable(x.shape)
    down, right = z[1:] - z[:-1], z[:, 1:] - z[:, :-1]
    if norm == "group":
        variation = cvxpy.sum(cvxpy.norm(down, axis=1)) + cvxpy.sum(cvxpy.norm(right, axis=0))
    elif norm == "anisotropic":
        variation = cvxpy.sum(cvxpy.abs(down)) + cvxpy.sum(cvxpy.abs(right))
    else:
        variation = (
            cvxpy.tv(z) + cvxpy.sum(cvxpy.abs(down[:, -1])) + cvxpy.sum(cvxpy.abs(right[-1]))
        )
    fidelity = cvxpy.sum_squares(cvxpy.multiply(observed, z - x)) / 2
    problem = cvxpy.Problem(cvxpy.Minimize(fidelity + strength * variation))
    problem.solve(solver="CLARABEL")
    return problem, z


@pytest.mark.parametrize("norm", ["isotropic", "anisotropic", "group"])
@pytest.mark.parametrize(("strength", "drop"), [(0.03, 0.5), (0.1, 0.3), (0.03, 0.0)])
def test_a_convex_program(photo, strength, drop, norm):
    """As low an objective, and the same observed pixels; of dropped ones there may be several."""
    cvxpy = pytest.importorskip("cvxpy")
    x = photo[:, :, ::2, ::2].contiguous()
    transform = TotalVariation(strength, drop, iterations=6000, norm=norm)
    ours, observed = transform(x)[0].double().numpy(), transform._mask(x)[0].numpy()
    for channel in range(3):
        problem, z = solved(
            cvxpy, x[0, channel].double().numpy(), observed[channel], strength, norm
        )
        least, theirs = problem.value, z.value
        z.value = ours[channel]
        assert problem.objective.value == pytest.approx(least, rel=1e-4)
        gap = np.abs(ours[channel] - theirs)
        assert (gap * observed[channel]).max() < 1e-3
