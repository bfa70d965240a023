"""Signs of what attacks left say on how many images, and whether these were too few to tell."""

import pytest

from robust.report.card.evidence import _signs
from robust.report.card.rendered import _raised
from robust.report.card.statements import _ITEMS
from robust.results.evidence.nine import TOO_FEW, nine
from robust.results.evidence.recorded import Evidence, Trials
from robust.results.rates import Rate
from robust.results.tables import comparison
from tests.results.test_evidence import BIM, CALM, attacked, scored
from tests.support.factories import evaluation

DOUBLED = "twice the steps find much more"
NAMES = {
    "noise": "noise finds what attacks missed",
    "doubled": DOUBLED,
    "queries/left": "no gradient beats gradients",
}
CONVERGED = _ITEMS["Verify that attacks have converged"]
LINF = "Linf 0.1"


def sign_of(key, rate, left=100):
    found = attacked(successes=200 - left)
    (sign,) = [s for s in nine(found, Trials(rates={key: rate})) if s.name == NAMES[key]]
    return sign


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("left", [9, 10, 11, 100])
def test_what_cannot_be_told_is_what_all_images_would_not_raise(key, n, left):
    could_be_raised = sign_of(key, Rate(n, n), left).raised
    sign = sign_of(key, Rate(0, n), left)
    assert (sign.raised, sign.untold) == (False, not could_be_raised)
    assert sign.figures == f"0/{n} of what they left"
    assert sign.found == ("no" if could_be_raised else TOO_FEW)


@pytest.mark.parametrize("key", ["doubled", "queries/left"])
def test_where_that_is(key):
    assert [sign_of(key, Rate(0, n)).untold for n in (1, 2)] == [True, False]
    # Of 200 images, 10 are the 5 points that any longer attack may find.
    assert [sign_of(key, Rate(0, 9), left).untold for left in (10, 11)] == [True, False]


def test_nothing_left_is_no_doubt():
    sign = sign_of("doubled", Rate(0, 0))
    assert (sign.untold, sign.figures, sign.found) == (False, "nothing is left", "no")


def test_queries_on_the_sample_may_tell_what_those_on_the_rest_do_not():
    rates = {key: CALM[key] for key in ("queries", "iterated")}
    (sign,) = [
        s
        for s in nine(attacked(), Trials(rates=rates | {"queries/left": Rate(0, 1)}))
        if s.name == NAMES["queries/left"]
    ]
    assert (sign.untold, sign.rare) == (False, False)


def few_left(hits=0, n=1):
    return attacked(scored(60, **CALM | {"doubled": Rate(hits, n)}))


def test_a_sentence_says_it():
    notes = comparison({"run/a": few_left(), "run/b": attacked(scored(60, **CALM))}).notes
    one, other = (note for note in notes if "nine signs" in note)
    assert one.endswith(f" {TOO_FEW.capitalize()}: {DOUBLED} (0/1 of what they left).")
    assert "too few" not in other.lower()


def test_a_table_says_it():
    found = evaluation({"bim": BIM}, {("deployed", "bim"): 20, ("adaptive", "bim"): 180})
    known = {LINF: scored(60, **CALM | {"doubled": Rate(0, 1)})}
    found.evidence = Evidence("quick", 200, ("deployed", "adaptive"), 1.5, known, "code")
    (table,) = comparison({"run/a": found}).below
    cells = {row[0]: row[1] for row in table.rows}
    assert cells[DOUBLED] == "too few images left to tell: 0/1 of what they left"


def converged(found):
    trials = Trials() if found.evidence is None else found.evidence.trials[LINF]
    signs = _signs(found, trials, "r")
    (sign,) = [each for each in signs if each["sign"] == DOUBLED]
    content = {"evidence": {"signs": {LINF: signs}}}
    return sign["raised"], _raised(sign), *CONVERGED(None, content)


@pytest.mark.parametrize(
    ("found", "answers"),
    [
        (few_left(1, 32), (False, "not raised", "yes", "1/32 of what they left")),
        (few_left(), (None, "cannot tell", "in part", f"0/1 of what they left; {TOO_FEW}")),
        (few_left(0, 0), (False, "not raised", "yes", "nothing is left")),
    ],
)
def test_a_card_says_it(found, answers):
    *said, where = converged(found)
    assert where == f"/evidence/signs: {DOUBLED} at {LINF} ({answers[-1]})"
    assert tuple(said) == answers[:-1]


def test_what_was_not_looked_for_is_not_recorded():
    assert converged(attacked()) == (
        *(None, "not measured", "not recorded"),
        f"/evidence/signs: {DOUBLED}",
    )
