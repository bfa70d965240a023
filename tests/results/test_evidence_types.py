"""Evidence of another form than is written is left out, with a checksum that matches, too."""

import pytest

from robust.results.evidence import recorded
from robust.results.evidence.recorded import Evidence, Score, Trials
from robust.results.rates import Rate

SCORE = Score("pgd", Rate(60, 60), Rate(4, 64), Rate(64, 64), 1000)


def plain():
    trials = {"Linf 0.1": Trials({"adaptive": SCORE}, rates={"noise": Rate(0, 30)})}
    return Evidence("quick", 200, ("adaptive",), 1.5, trials, "code").plain()


def summed(content):
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return {**rest, "checksum": recorded._checksum(rest)}


def test_what_is_written_is_read():
    assert Evidence.from_plain(summed(plain())).asked == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("asked", value) for value in ("x", None, [1], 1e300, True)),
        *(("seconds", value) for value in ("x", None, [1])),
        *((key, value) for key in ("level", "code_sha256") for value in (None, [1], {}, 5)),
        ("level", "another"),
    ],
)
def test_another_type_is_damage(key, value):
    with pytest.raises(ValueError, match="another type"):
        Evidence.from_plain(summed({**plain(), key: value}))


@pytest.mark.parametrize("where", ["unit_test", "rates"])
def test_a_count_that_has_no_float_is_damage(where):
    content, huge = plain(), [10**400, 10**400]
    trials = content["trials"]["Linf 0.1"]
    if where == "rates":
        trials["rates"]["noise"] = huge
    else:
        trials["unit_test"]["adaptive"]["found"] = huge
    with pytest.raises(ValueError, match="a count that is none"):
        Evidence.from_plain(summed(content))
