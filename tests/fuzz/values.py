"""Values that nobody expects, as YAML, JSON, a cell or a flag may hold them."""

import json
from random import Random
from typing import Any

HUGE = "9" * 5_000
_NUMBERS = [0, -1, 1, 3, 10**30, -(2**63), 0.1, 1e-300, 1e300, -0.5]
_NOT_FINITE = [float("nan"), float("inf"), -float("inf")]
_WORDS = r"""
abc null true 1 8/255 1/0 1e400 5e12345 00:10 2024-01-01 a/b ../../a .. ~nobody/a /dev/full
/dev/zero [/z] [bold] * ключ robust.defenses.Squeezed robust.defenses.Nothing robust.nothing.A
nothing.A A. subprocess.Popen os.system torch.nn.Linear torch.nn.Identity torch.optim.Adam
robust.attacks.PGD torchattacks.CW robust.sweep.process.subprocess.Popen builtins.dict adaptive
deployed Linf L2 L0 random auto mnist tern.npz mlp.yaml
""".strip()
_TEXTS = ["", " ", "a\x00b", "a\nb", "\x1b[31m", "\ufeffa", "net [a]", "\u2028", "\U0001f600"]
_LONG = ["x" * 300, "a" * 10_000, list(range(2_000))]
_NESTED = [[], {}, [[]], [None], {"a": None}, ["a", 1], {"class_path": 3}]
_CLASSES = [
    {"class_path": "torch.nn.ReLU"},
    {"class_path": "robust.networks.MLP", "init_args": None},
    {"class_path": "subprocess.Popen", "init_args": {"args": ["false"]}},
]
PLAIN: list[Any] = [None, True, False, *_NUMBERS, *_NOT_FINITE, *_WORDS.split(), *_TEXTS]
PLAIN += [*_LONG, *_NESTED, *_CLASSES]
_TENS = [",".join([f"*{name}"] * 10) for name in "abcdefg"]
_ALIASES = "".join(
    f"{name}: &{name} [{ten}]\n" for name, ten in zip("abcdefgh", ["1", *_TENS], strict=True)
)
TEXT = [
    "",
    "\t",
    "\x00",
    "\r",
    "\ufeff",
    "\u2028",
    "é",
    "&a ",
    "*a",
    "? ",
    "- ",
    "|",
    "#",
    "'",
    '"',
]
TEXT += ["{", "[", "}", "]", ":", ": :", "---\n", "...\n", "%YAML 9.9\n", "<<: *x\n", _ALIASES]
TEXT += ["!!binary x", "!!python/object:os.system ", HUGE, "[" * 3_000, "{a: " * 500, "x" * 140_000]
TEXT += ["nan", "inf", "-1", "1e999", "0x10", "0b1", "1_000"]
ENCODINGS = ["utf-16", "utf-32", "utf-8-sig", "latin-1", "cp037"]


def odd(random: Random) -> Any:
    """One of `PLAIN`, or a nest of it."""
    value = random.choice(PLAIN)
    kind = random.randrange(20)
    if kind == 0:
        return {random.choice(["a", "init_args", "class_path", 5, None]): value}
    if kind == 1:
        return [value] * random.choice([1, 3])
    if kind == 2:
        for _ in range(random.choice([5, 60])):
            value = [value]
    return value


def word(random: Random) -> str:
    """An odd value as a word of a command line; no word holds a NUL."""
    value = random.choice([*PLAIN, HUGE])
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return text[:20_000].replace("\x00", "")
