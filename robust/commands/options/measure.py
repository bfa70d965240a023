"""The flags of `robust measure`, which are some of `robust evaluate`."""

from collections.abc import Sequence

from robust.commands.options.evaluate import DEFAULT_SUITE
from robust.errors import ConfigError
from robust.loading.messages import nearest
from robust.loading.parsing.fractions import flag_value
from robust.loading.trust import shown

MEASURES = {
    "robustness": ["--robustness"],
    "certify": ["--certify"],
    "lipschitz": ["--lipschitz"],
    "attack_unit_test": ["--attack-unit-test"],
}
_OF_SUITE = ("--suite", "--attacks", "--eps", "--norm", "--features")
"""Flags of `attack_unit_test` alone, which tries the attacks of a suite."""
FLAGS = (
    *("--limit", "--view", "--output", "--trust", "--devices", "--sigma"),
    *(*_OF_SUITE, "--help"),
)
SIGMA = "0.25"
"""Noise of `certify` where none is given, as in the paper of randomized smoothing."""

HELP = f"""usage: robust measure WHAT RUN... [options]

Measure trained runs without a suite of attacks.

  robustness         relative minimal perturbations, and their distance to the
                     training set
  certify            accuracy certified by randomized smoothing
  lipschitz          operator norms of the layers
  attack_unit_test   whether attacks find an adversarial image that is there

options:
  --limit N          number of test images
  --view VIEW ...    views to measure through; for robustness, attack_unit_test
  --sigma SIGMA      noise of certify; default: {SIGMA}
  --suite NAME       attacks of attack_unit_test; default: {DEFAULT_SUITE}
  --attacks NAME ... only these of the suite
  --eps, --norm      of the suite, instead of its own
  --features NAME    layer whose input are the features; default: the last linear
  --output FILE      also write Markdown here
  --model.KEY=VALUE  another argument of the defenses
  --trust PACKAGE    files may name classes of this package, too

examples:
  robust measure certify runs/squeezed/first --sigma 0.5 --limit 100
  robust measure attack_unit_test runs/squeezed/first --suite quick
"""


def translated(args: Sequence[str]) -> list[str]:
    """Return the arguments of `robust evaluate` for those of `robust measure`.

    Raises:
        ConfigError: If there is no such measure or flag.
    """
    measure = args[0] if args else ""
    if measure not in MEASURES:
        raise ConfigError(
            f"Expected one of {', '.join(MEASURES)} after measure, but got {shown(measure)!r}."
            f"{nearest(measure, MEASURES)}"
        )
    _check_sigma(args)
    rest = [f"--certify{word[7:]}" if _is_sigma(word) else word for word in args[1:]]
    for word in args[1:]:
        flag = word.split("=")[0]
        if word.startswith("--") and flag not in FLAGS and not flag.startswith("--model."):
            raise ConfigError(
                f"Unknown flag {shown(flag)!r} of measure.{nearest(flag, FLAGS)} Expected one of "
                f"{', '.join(FLAGS)}, --model.KEY."
            )
    if measure != "certify" and any(map(_is_sigma, args)):
        raise ConfigError(f"Expected no --sigma with {measure}. It is the noise of certify.")
    if measure != "attack_unit_test":
        _check_no_suite(measure, args)
    if measure == "certify":
        return rest if any(map(_is_sigma, args)) else [*rest, f"--certify={SIGMA}"]
    if measure == "attack_unit_test":
        return _of_suite(rest)
    return [*rest, *MEASURES[measure]]


def _check_no_suite(measure: str, args: Sequence[str]) -> None:
    given = [word.split("=")[0] for word in args if word.split("=")[0] in _OF_SUITE]
    if given:
        raise ConfigError(
            f"Expected no {given[0]} with {measure}. It is of attack_unit_test, which has a suite."
        )


def _of_suite(words: Sequence[str]) -> list[str]:
    """Return arguments whose suite is that of the unit test, and is not attacked."""
    flag = "--attack-unit-test"
    renamed = [f"{flag}{word[7:]}" if word.split("=")[0] == "--suite" else word for word in words]
    return renamed if renamed != list(words) else [*renamed, f"{flag}={DEFAULT_SUITE}"]


def _check_sigma(args: Sequence[str]) -> None:
    """Raise in the words of this command, as `robust evaluate` calls the flag otherwise."""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        text = word.partition("=")[2] if "=" in word else following
        if _is_sigma(word) and not _is_number(text):
            raise ConfigError(
                f"Expected --sigma to be a number such as 0.25 or 1/4, but got {shown(text)!r}."
            )


def _is_number(text: str) -> bool:
    value = flag_value(text, "--sigma")
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_sigma(word: str) -> bool:
    return word.split("=")[0] == "--sigma"
