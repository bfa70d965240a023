"""The first screen: short names, a sentence a run, pills, and an order that no accident leads."""

from pathlib import Path

import pytest

from robust.report.answers import Answer, TableRow, answers, pills, table_rows
from robust.report.hints import hint
from robust.report.names import names_of
from robust.report.protocols import protocols
from robust.results.run_folder import RunFiles
from tests.support.factories import evaluation, info


def run_of(name, deployed=None, adaptive=None, n=200, config=None):
    attacks = {"fgsm": info()}
    counts = {("deployed", "fgsm"): deployed, ("adaptive", "fgsm"): adaptive}
    found = {key: value for key, value in counts.items() if value is not None}
    records = {Path(name): evaluation(attacks, found, n)} if found else {}
    return RunFiles(Path(name), name, config or {}, evaluations=records)


def short(*names, seeds=()):
    configs = [{"seed_everything": seed} for seed in seeds] or [{}] * len(names)
    runs = [RunFiles(Path(name), name, config) for name, config in zip(names, configs, strict=True)]
    return [name.short for name in names_of(runs)]


DATED = "20261201-024410-1a2b"
LATER = "20261202-030000-00ff"


@pytest.mark.parametrize(
    ("names", "seeds", "expected"),
    [
        ([f"squeezed/{DATED}", f"standard/{LATER}"], (), ["squeezed", "standard"]),
        ([f"a/{DATED}", f"a/{LATER}"], (0, 1), ["a s0", "a s1"]),
        ([f"a/{DATED}", f"a/{LATER}"], (0, 0), ["a (1)", "a (2)"]),
        (["mnist/a/x", "mnist/b/x"], (), ["a", "b"]),
        (["a/x", "a/y"], (), ["a/x", "a/y"]),
        (["mnist/a/x", "mnist/a/y"], (), ["a/x", "a/y"]),
        (["a/x", "b/y"], (), ["a/x", "b/y"]),
        ([f"a/{DATED}", f"a/{LATER}", "a (1)"], (), [f"a/{DATED}", f"a/{LATER}", "a (1)"]),
        (["only/one"], (), ["only/one"]),
        ([DATED], (), [DATED]),
    ],
)
def test_short_names_differ_and_leave_out_dates(names, seeds, expected):
    assert short(*names, seeds=seeds) == expected


def test_date_and_folder_of_a_run_are_in_the_hint(tmp_path):
    named, undated = f"a/{DATED}", "b/mine"
    (tmp_path / "config.yaml").write_text("")
    runs = [RunFiles(Path(named), named), RunFiles(tmp_path, undated)]
    first, second = names_of(runs)
    assert first.hint == f"{named}, 2026-12-01 02:44"
    assert second.hint.startswith("b/mine, 20")


def row_of(run):
    (protocol,) = protocols([run])
    (entry,) = protocol.entries
    return TableRow(run, protocol, entry)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of("a", 28, 192), "looks 86 % robust and is 4 %."),
        (run_of("a", 60, 64), "is 68 % robust, as far as these attacks can tell."),
        (run_of("a", 199, 199), "is not robust: under 1 % are left under attack."),
        (run_of("a", 28), "looks 86 % robust, and no adaptive attacker tried."),
        (run_of("a", 2, 4, n=20), "cannot be judged on 20 images: between 58 and 92 % robust."),
    ],
)
def test_a_run_is_answered_in_a_sentence(run, said):
    assert Answer(row_of(run)).said == said


def test_a_run_without_records_says_so():
    run = RunFiles(Path("a"), "a", missing=["not attacked yet"])
    assert Answer(TableRow(run)).said == "has no records: not attacked yet."


def test_few_images_and_guesses_never_rank_first():
    runs = [run_of("few", 0, 0, n=20), run_of("trained", 150, 180), run_of("none")]
    rows = table_rows(runs, protocols(runs))
    assert [row.run.name for row in rows] == ["trained", "few", "none"]
    assert [row.weak for row in rows] == [False, True, False]
    found = answers(rows)
    assert [answer.name for answer in found] == ["trained", "none", "few"]
    assert pills(found) == {"masked": 1, "too few images": 1, "no records": 1}


def test_pills_add_up_to_the_runs_of_the_title():
    """A run under two suites counts once."""
    two = run_of("a", 10, 150)
    other = evaluation({"pgd": info("PGD")}, {("deployed", "pgd"): 10}, 60)
    two.evaluations[Path("b")] = other
    runs = [two, run_of("b", 10, 12)]
    rows = table_rows(runs, protocols(runs))
    assert len(rows) == 3
    assert sum(pills(answers(rows)).values()) == len(runs)


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("adaptive", "", "knows the defense"),
        ("difference", "", "Newcombe"),
        ("difference", "papers", "the paper's"),
        ("pgd", "attacks", "Attack success of pgd"),
        ("model.seed", "settings", "model.seed in config.yaml"),
        ("of a/b", "", "compared with"),
    ],
)
def test_columns_have_a_meaning(name, kind, word):
    assert word in hint(name, kind)
