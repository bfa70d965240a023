"""Each forward pass of a network says that work goes on, so that no attack has to."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

from torch import nn


@contextlib.contextmanager
def beating(modules: Iterable[nn.Module], beat: Callable[[int], None]) -> Iterator[None]:
    """Call back at each forward pass of some modules, until the end of the block.

    Args:
        modules: What is called; one that is named twice counts once.
        beat: Gets the number of images.
    """
    # A function, since attacks may copy a network, and the locks of a display cannot be copied.
    handles = [
        module.register_forward_pre_hook(lambda _, args: beat(len(args[0]) if args else 0))
        for module in dict.fromkeys(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
