"""Evidence beside records: how it is kept, its signs, and what a verdict makes of it."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from robust.report.protocols import Entry
from robust.results.evidence.nine import nine
from robust.results.evidence.recorded import Evidence, Score, Trials
from robust.results.metrics import summarize
from robust.results.rates import Rate
from robust.results.record_files import RecordFile
from robust.results.records import Evaluation, read_evaluation
from robust.results.tables import comparison
from robust.results.verdict import verdict
from tests.support.factories import evaluation, info

FGSM, BIM = info(), info("BIM", steps=20)
SOUND = Score("bim", Rate(60, 60), Rate(4, 64), Rate(64, 64), 1000)


def attacked(trials=None, *, successes=100):
    """Both views alike: whatever the verdict sees is evidence."""
    found = evaluation({"bim": BIM}, {(v, "bim"): successes for v in ("deployed", "adaptive")})
    if trials is not None:
        known = {"Linf 0.1": trials}
        found.evidence = Evidence("quick", 200, ("deployed", "adaptive"), 1.5, known, "code")
    return found


def scored(hits, n=60, **rates):
    score = replace(SOUND, found=Rate(hits, n))
    return Trials({"deployed": score, "adaptive": score}, rates=rates)


def test_it_is_kept_and_read_again(tmp_path):
    found = attacked(scored(60, noise=Rate(0, 30)))
    file = RecordFile(tmp_path, found.header)
    file.evidence = found.evidence
    file.append(found.rows)
    file.merge()
    assert read_evaluation(file.path).evidence == found.evidence
    again = RecordFile(tmp_path, found.header)
    again.read()
    again.merge()
    assert read_evaluation(file.path).evidence == found.evidence == again.kept_evidence()


@pytest.mark.parametrize("key", ["hits", "checksum", "form"])
def test_changed_evidence_is_left_out_with_a_note_and_the_rows_stay(tmp_path, key):
    found = attacked(scored(60))
    file = RecordFile(tmp_path, found.header)
    file.evidence = found.evidence
    file.append(found.rows)
    file.merge()
    head = file.path.with_suffix(".json")
    content = json.loads(head.read_text())
    if key == "hits":
        content["evidence"]["trials"]["Linf 0.1"]["unit_test"]["adaptive"]["found"] = [59, 60]
    elif key == "checksum":
        del content["evidence"]["checksum"]
    else:
        content["evidence"] = [1]
    head.write_text(json.dumps(content))
    read = read_evaluation(file.path)
    assert read.evidence is None
    assert len(read.rows) == len(found.rows)
    assert any("damaged evidence is left out" in note for note in read.notes)


@pytest.mark.parametrize(
    ("asked", "is_enough"),
    [
        (("quick", 200, {"adaptive"}, "code"), True),
        (("full", 200, {"adaptive"}, "code"), False),
        (("quick", 201, {"adaptive"}, "code"), False),
        (("quick", 200, {"published"}, "code"), False),
        (("quick", 200, {"adaptive"}, "other code"), False),
    ],
)
def test_what_is_known_is_not_tried_again(asked, is_enough):
    evidence = attacked(scored(60)).evidence
    assert evidence.covers(*asked) is is_enough


@pytest.mark.parametrize(
    ("trials", "word"),
    [
        (None, "no masking seen"),
        (scored(60), "no masking seen"),
        (scored(56), "no masking seen"),  # up to 97.4 %
        (scored(48), "suspect"),
        (scored(0, 0), "unverified"),
        (Trials(reason="Expected a last linear layer, but WNLL has none."), "unverified"),
    ],
)
def test_the_unit_test_weighs(trials, word):
    assert verdict(attacked(trials)).word == word


def test_what_it_says():
    assert verdict(attacked(scored(48))).reason == (
        "in the attack unit test bim finds 80.0 % of what is there through the adaptive view"
    )
    reason = "Expected a last linear layer, but WNLL has none."
    assert verdict(attacked(Trials(reason=reason))).reason == (
        "attack unit test not measured: Expected a last linear layer, but WNLL has none"
    )


def test_where_nothing_is_left_nothing_can_be_masked():
    assert verdict(attacked(scored(0), successes=200)).word == "not robust"


CALM = {
    "one_step": Rate(20, 32),
    "iterated": Rate(16, 32),
    "queries": Rate(20, 32),
    "noise": Rate(0, 32),
    "eps/half": Rate(24, 32),
    "eps/same": Rate(16, 32),
    "eps/double": Rate(8, 32),
    "eps/unbounded": Rate(0, 32),
    "doubled": Rate(1, 32),
    "flat/cross_entropy": Rate(3, 32),
    "alone": Rate(0, 32),
}


def test_none_of_the_nine_is_raised_by_a_sound_network():
    part = attacked(scored(60, **CALM))
    signs = nine(part, part.evidence.trials["Linf 0.1"])
    assert len(signs) == 9
    assert all(sign.tried and not sign.raised for sign in signs)
    assert signs[0].words == "one step beats many (robust 20/32 against 16/32)"
    assert not any(sign.rare for sign in signs)
    assert verdict(part).word == "no masking seen"


@pytest.mark.parametrize(
    ("key", "rate", "name"),
    [
        ("one_step", Rate(2, 32), "one step beats many (robust 2/32 against 16/32)"),
        ("queries", Rate(2, 32), "no gradient beats gradients (robust 2/32 against 16/32)"),
        ("queries/left", Rate(8, 62), "no gradient beats gradients (8/62 of what they left)"),
        ("noise", Rate(4, 32), "noise finds what attacks missed (4/32 of what they left)"),
        ("eps/double", Rate(31, 32), "success does not grow with eps"),
        ("eps/unbounded", Rate(16, 32), "an unbounded attack fails (robust 16/32)"),
        ("doubled", Rate(9, 32), "twice the steps find much more (9/32 of what they left)"),
        ("flat/cross_entropy", Rate(17, 32), "no gradient (cross_entropy 17/32)"),
        ("alone", Rate(1, 32), "two calls differ (alone and in a batch at 1/32)"),
    ],
)
def test_each_sign_of_the_sample_makes_a_network_suspect(key, rate, name):
    rates = CALM | {"eps/same": Rate(16, 32), key: rate}
    if key == "eps/unbounded":
        rates["eps/double"] = Rate(16, 32)
    found = attacked(scored(60, **rates))
    # All images of these records have one class: a guess would know it.
    if key == "eps/unbounded":
        found = Evaluation(found.header, _of_two_classes(found), (), found.evidence)
    assert verdict(found).word == "suspect"
    assert name in verdict(found).reason
    (grid,) = comparison({"run": found}).below
    assert sum(row[1].startswith("raised: ") for row in grid.rows) == 1


def _of_two_classes(found):
    return [
        row._replace(**{f: (getattr(row, f) + row.index % 10) % 10 for f in _CLASSES})
        for row in found.rows
    ]


_CLASSES = ("label", "clean_pred", "adv_pred")


@pytest.mark.parametrize("rate", [Rate(2, 73), Rate(6, 62), Rate(1, 2), Rate(0, 0)])
def test_queries_may_find_a_few_of_what_gradients_left(rate):
    part = attacked(scored(60, **CALM | {"queries/left": rate}))
    assert verdict(part).word == "no masking seen"
    sign = nine(part, part.evidence.trials["Linf 0.1"])[1]
    assert sign.figures.startswith("robust 20/32 against 16/32, ")
    alone = scored(60, **{"queries/left": rate})
    assert not nine(part, alone)[1].raised


@pytest.mark.parametrize("key", ["queries/left", "doubled"])
@pytest.mark.parametrize(("successes", "word"), [(180, "no masking seen"), (100, "suspect")])
def test_a_share_of_the_few_that_are_left_is_not_much(key, successes, word):
    found = attacked(scored(60, **CALM | {key: Rate(6, 20)}), successes=successes)
    assert verdict(found).word == word


def test_a_single_image_that_noise_finds_is_chance():
    found = attacked(scored(60, **CALM | {"noise": Rate(1, 2)}))
    assert verdict(found).word == "no masking seen"


def test_the_column_and_its_notes():
    found = attacked(scored(57))
    grid = comparison({"run": found, "old": attacked()})
    column = list(grid.header).index("unit test\nn = 60")
    cell = grid.rows[0][column]
    assert [value.n for value in cell.values] == [60, 60]
    assert grid.rows[1][column] == ""
    assert any("the strongest attack (bim) finds" in note for note in grid.notes)
    assert any(note.startswith("old: no evidence was asked for") for note in grid.notes)
    missing = comparison({"run": attacked(Trials(reason="It is foreign."))})
    assert missing.rows[0][list(missing.header).index("unit test")] == "not measured"
    assert "run: It is foreign." in missing.notes
    assert not any("unit test" in name for name in comparison({"old": attacked()}).header)


def test_the_header_of_the_column_shows_on_how_many_images_it_counts():
    runs = {"few": attacked(scored(30, n=31)), "more": attacked(scored(60))}
    grid = comparison(runs)
    assert "unit test<br>n = 31-60" in grid.markdown().splitlines()[2]
    assert "<span>unit test</span><br><span>n = 31-60</span>" in grid.html()
    for width in (80, 200):
        console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
        grid.print(console)
        assert "n = 31-60" in console.file.getvalue()


@pytest.mark.parametrize("successes", [100, 200])
def test_every_run_of_which_nobody_asked_is_told(successes):
    masked = evaluation({"bim": BIM}, {("deployed", "bim"): 9, ("adaptive", "bim"): 190})
    found = {"a": attacked(successes=successes), "b": attacked(scored(60)), "c": masked}
    (note,) = [note for note in comparison(found).notes if "no evidence was asked for" in note]
    assert note.startswith("a, c: ")


def test_nobody_can_ask_for_that_of_a_transfer():
    found = evaluation({"bim": BIM}, {("transfer", "bim"): 9})
    assert not any("no evidence" in note for note in comparison({"a": found}).notes)


def test_what_the_page_says():
    entry = Entry("run", None, attacked(scored(57)))
    assert entry.unit_test == "unit test 95.0 (86.3 to 98.3), n = 60"
    assert Entry("run", None, attacked(Trials(reason="Odd."))).unit_test.endswith("not measured")
    assert Entry("run", None, attacked()).unit_test == ""


def test_what_a_run_logs():
    numbers = summarize(attacked(scored(57)))
    assert numbers["test/unit_test/adaptive/bim"] == 0.95
    assert numbers["test/unit_test/adaptive/bim_high"] > 0.95
    assert not any("unit_test" in key for key in summarize(attacked()))
