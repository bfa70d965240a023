"""The flags of `robust draw`, which are some of `robust evaluate`."""

from collections.abc import Sequence
from typing import get_args

from robust.commands.options.evaluate import Figure
from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.trust import shown

FIGURES = get_args(Figure)
FLAGS = ("--trust", "--help")

HELP = """usage: robust draw FIGURE RUN... [options]

Plot figures of trained runs that need no suite of attacks.

  confidence         how sure networks are over the plane, of runs on toy data
  features           features of two classes, clean and adversarial
  progress           accuracy per epoch
  recalled           images that the network recalls
  transformed        images before and after the input transform

options:
  --model.KEY=VALUE  another argument of the defenses
  --trust PACKAGE    files may name classes of this package, too

Figures of a suite are flags of `robust evaluate`: --figures and --grid.

example: robust draw progress runs/squeezed/first
"""


def translated(args: Sequence[str]) -> list[str]:
    """Return the arguments of `robust evaluate` for those of `robust draw`.

    Raises:
        ConfigError: If there is no such figure or flag.
    """
    figure = args[0] if args else ""
    if figure not in FIGURES:
        raise ConfigError(
            f"Expected one of {', '.join(FIGURES)} after `draw`, but got {shown(figure)!r}."
            f"{nearest(figure, FIGURES)}"
        )
    for word in args[1:]:
        flag = word.split("=")[0]
        if word.startswith("--") and flag not in FLAGS and not flag.startswith("--model."):
            raise ConfigError(
                f"Unknown flag {shown(flag)!r} of `draw`.{nearest(flag, FLAGS)} Expected one of "
                f"{', '.join(FLAGS)}, --model.KEY."
            )
    return [*args[1:], "--draw", figure]
