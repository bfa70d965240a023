"""Some attacks of a suite are chosen by names and patterns, each of which has to mean one."""

import pytest

from robust.errors import ConfigError
from robust.evaluation.suite import chosen

NAMES = ("fgsm", "bim_1", "bim_2", "a[b]*")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["fgsm"], {"fgsm"}),
        (["bim_*", "fgsm"], {"bim_1", "bim_2", "fgsm"}),
        (["a[b]*"], {"a[b]*"}),
        (["*"], set(NAMES)),
    ],
)
def test_names_and_patterns(patterns, expected):
    assert chosen(NAMES, patterns) == expected


@pytest.mark.parametrize(
    ("patterns", "got"),
    [
        ([], "none"),
        ((), "none"),
        ([""], "''"),
        (["cw"], "'cw'"),
        (["fgsm", "cw"], "'cw'"),
        (["bim_*", "x*"], r"'x\*'"),
        (["a\nb"], r"'a\\nb'"),
    ],
)
def test_what_means_no_attack_is_named(patterns, got):
    with pytest.raises(ConfigError, match=rf"\(fgsm, bim_1, bim_2, a\[b\]\*\), but got {got}\. "):
        chosen(NAMES, patterns)


def test_many_and_long_names_fit_a_message():
    with pytest.raises(ConfigError) as error:
        chosen([f"attack_{i}" for i in range(1000)], ["x" * 10_000])
    assert len(str(error.value)) <= 300
    assert "attack_0, attack_1, " in str(error.value)
    assert ", ...)" in str(error.value)
