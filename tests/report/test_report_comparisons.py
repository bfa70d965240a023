"""The page against one run, several seeds as one row, and requirements on what is on record."""

import shutil
from dataclasses import replace

import pytest

from robust.commands.main import main
from robust.errors import ConfigError
from robust.report.comparisons import check_against
from robust.report.protocols import protocols
from robust.results.record_files import RecordFile
from tests.results.test_signs_table import masked
from tests.support.factories import header, info, row

SEEDS = {"a": 0, "b": 1}


def write_run(folder, misclassified, seed=0, **changed):
    made = replace(header(fgsm=info()), **changed)
    views = ("deployed", "adaptive")
    file = RecordFile(folder / "records", made, classes=10)
    file.append(row(i, view=view, adv=int(i < misclassified)) for view in views for i in range(100))
    file.merge()
    text = f"seed_everything: {seed}\nmodel: {{class_path: robust.defenses.Standard}}\n"
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.fixture
def runs(tmp_path):
    for number, (name, seed) in enumerate(SEEDS.items()):
        write_run(tmp_path / "runs/mlp" / name, 40 + 10 * number, seed)
    return tmp_path / "runs"


def page(words, capsys, tmp_path):
    words = ["report", *map(str, words), "-o", str(tmp_path / "page.html")]
    code = main(words)
    text = (tmp_path / "page.html").read_text() if code in (0, 3, 4) else ""
    return code, text, capsys.readouterr()


def test_the_page_has_comparisons_and_seeds(runs, capsys, tmp_path):
    other = shutil.move(runs / "mlp/b", tmp_path / "elsewhere" / "b")
    _, text, _ = page([runs], capsys, tmp_path)
    assert "Against another run" not in text
    assert "Several seeds of one config" not in text
    code, text, _ = page([runs, "--against", other], capsys, tmp_path)
    assert code == 0
    assert "only elsewhere/b loses images 40, 41" in text
    assert "55.0 +- 7.1" in text


def test_other_images_are_refused_in_one_line(runs, capsys, tmp_path):
    write_run(runs / "other/a", 3, data_sha256="e")
    code, _, said = page([runs, "--against", runs / "mlp/a"], capsys, tmp_path)
    assert code == 2
    assert "Expected the same images to compare on" in said.err
    assert len(said.err.strip().splitlines()) == 1
    shutil.rmtree(runs / "mlp/b")
    shutil.rmtree(runs / "other")
    code, _, said = page([runs, "--against", runs / "mlp/a"], capsys, tmp_path)
    assert (code, "but got none" in said.err) == (2, True)


def test_a_run_without_records_is_no_reference(tmp_path):
    with pytest.raises(ConfigError, match="has none"):
        check_against([], protocols([]), tmp_path)


@pytest.mark.parametrize(
    ("requirement", "code"),
    [("adaptive.robust>=0.3", 0), ("adaptive.robust>=0.55", 4), ("adaptive.robust>=0.8", 3)],
)
def test_the_exit_code_says_whether_requirements_hold(runs, capsys, tmp_path, requirement, code):
    ended, _, said = page([runs, "--require", requirement], capsys, tmp_path)
    assert ended == code
    assert "mlp/a, test, digits" in said.out


def test_watching_judges_nothing(runs, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(runs), "--watch", "--require", "clean>=0"])
    assert "Leave one of them out" in capsys.readouterr().err


def test_a_run_to_compare_with_has_to_be_named_to_be_required(runs, capsys, tmp_path):
    other = ["--against", runs / "mlp/b", "--require", "robust>=0.505"]
    _, _, said = page([runs, *other], capsys, tmp_path)
    assert ("mlp/a, " in said.out, "mlp/b, " in said.out) == (True, False)
    _, _, said = page([runs / "mlp/a", runs / "mlp/b", *other], capsys, tmp_path)
    assert ("mlp/a, " in said.out, "mlp/b, " in said.out) == (True, True)


def test_the_page_has_the_table_of_signs(tmp_path, capsys):
    found = masked()
    file = RecordFile(tmp_path / "runs/mlp/a/records", found.header, classes=10)
    file.evidence = found.evidence
    file.append(found.rows)
    file.merge()
    code, text, _ = page([tmp_path / "runs"], capsys, tmp_path)
    assert code == 0
    assert "<caption>Signs of masking at Linf 0.1</caption>" in text
    assert "raised: robust accuracy 90.0 % deployed, 10.0 % adaptive" in text
