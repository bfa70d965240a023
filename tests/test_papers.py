"""Numbers of papers are counted, and pages are what `results.csv` of the papers say."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from robust.commands.options.reproduce import parts
from robust.errors import ConfigError
from robust.results.published.result_file import add_results, read_results
from tests.results.published.test_result_file import RESULT
from tests.support.papers import PAPERS, TABLES
from tests.support.tiny import ROOT


@pytest.fixture(scope="module")
def scripts():
    """The scripts beside the papers."""
    sys.path.insert(0, str(PAPERS))
    try:
        import count
        import pages

        yield count, pages
    finally:
        sys.path.remove(str(PAPERS))


@pytest.fixture
def count(scripts):
    return scripts[0]


@pytest.fixture
def pages(scripts):
    return scripts[1]


@pytest.fixture
def folder(tmp_path):
    """A folder of papers with a single table, and no numbers of ours."""
    place = tmp_path / "saito2018"
    (place / "tables").mkdir(parents=True)
    shutil.copy(TABLES["saito2018_table5_mnist"], place / "tables")
    return tmp_path


def cells(count, folder):
    (table,) = count.tables(folder)
    return {(cell.row, cell.column): cell for cell in table.cells}


def test_pages_are_up_to_date_with_the_numbers(pages, capsys):
    code = pages.main([])
    assert capsys.readouterr().err == ""
    assert code == 0


def test_the_papers_print_956_numbers_under_attack(count):
    found = count.counts([cell for table in count.tables() for cell in table.cells])
    assert (found.printed, found.lost) == (956, 18)
    assert found.both <= min(found.ours, found.beside)
    assert found.agree <= found.ours <= found.printed


def test_every_number_of_ours_is_of_a_cell(count):
    """Else it would be on no page."""
    for path in sorted(PAPERS.glob("*/results.csv")):
        shown = {
            each
            for table in count.tables()
            for cell in (*table.clean, *table.cells)
            for each in (cell.ours, cell.beside)
        }
        assert [result.key for result in read_results(path) if result not in shown] == []


def test_every_number_has_a_command_that_there_is():
    for path in sorted(PAPERS.glob("*/results.csv")):
        known = parts(path.parent.name, "cpu")
        for result in read_results(path):
            words = re.sub(r"^([A-Z]+=\S+ )*", "", result.command).split()
            assert words[:3] == ["robust", "reproduce", path.parent.name]
            assert words[3] in known


def test_numbers_of_the_papers_are_those_of_their_tables(count):
    for table in count.tables():
        for cell in (*table.clean, *table.cells):
            for result in (cell.ours, cell.beside):
                assert result is None or result.published == cell.published


def test_views_are_told_apart(count, folder):
    kept = folder / "saito2018/results.csv"
    ours = RESULT._replace(view="published", value=30.0, low=24.0, high=36.7)
    add_results(kept, [ours, RESULT, RESULT._replace(view="published", row="BIM 0.2")])
    found = cells(count, folder)
    assert (found["BIM 0.1", "mse"].ours, found["BIM 0.1", "mse"].beside) == (ours, RESULT)
    assert found["BIM 0.1", "mse"].agreement == "agrees"
    assert found["BIM 0.2", "mse"].agreement == "differs"
    assert found["BIM 0.3", "mse"].agreement == ""
    assert count.counts(list(found.values())) == (72, 2, 1, 1, 1, 0)


def test_what_is_missing_has_the_command_of_the_smallest_scale(count, folder):
    found = count.missing(count.tables(folder))
    by_command = {each.command: each for each in found}
    small, large = by_command.values()
    assert large.command == "robust reproduce saito2018 table5_mnist"
    assert (large.cells, large.hours, large.rows[0]) == (48, "1", "BIM 0.1")
    assert small.command == "robust reproduce saito2018 table5_mnist --scale paper"
    assert (small.cells, small.hours, small.rows[0]) == (24, "6", "L-BFGS c = 0.01")


def test_a_column_that_a_scale_left_out_is_of_a_larger_one(count, folder):
    add_results(folder / "saito2018/results.csv", [RESULT._replace(view="published")])
    rows = {each.command: each.rows for each in count.missing(count.tables(folder))}
    assert "BIM 0.1" not in rows["robust reproduce saito2018 table5_mnist"]
    assert "BIM 0.1" in rows["robust reproduce saito2018 table5_mnist --scale paper"]


def test_what_a_scale_crafts_on_other_columns_is_of_a_larger_one(count):
    """At scale cpu two of the six networks of Wang et al. are there, and each row has one."""
    (table,) = [table for table in count.tables() if table.name == "wang2018_table1"]
    bare = [cell._replace(ours=None) for cell in table.cells]
    first = next(cell for cell in table.cells if cell.row == "FGSM 0.02 on wnll")
    command = "robust reproduce wang2018 table1"
    result = RESULT._replace(view="transfer", command=command)
    measured = [
        cell._replace(ours=result) if cell == first else other
        for cell, other in zip(table.cells, bare, strict=True)
    ]
    scales = {cell.row: count._scale(table._replace(cells=measured), cell) for cell in bare}
    assert scales["FGSM 0.02 on wnll_tvm"] == "paper"
    assert scales["IFGSM 0.02 on wnll_tvm"] == "cpu"


def test_the_table_of_counts_adds_up(count, capsys):
    count.main([])
    printed = capsys.readouterr().out
    numbers = {
        tuple(line.split()[:2]): list(map(int, line.split()[2:]))
        for line in printed.splitlines()
        if re.fullmatch(r"\s+\w+\s+\w+(\s+\d+){6}", line)
    }
    papers = [values for (paper, table), values in numbers.items() if table == "all"]
    assert [sum(column) for column in zip(*papers[:-1], strict=True)] == papers[-1]
    assert papers[-1][0] == 956
    assert "Not measured" not in printed


def test_a_damaged_file_is_one_line(count, folder):
    (folder / "saito2018/results.csv").write_text("damaged\n")
    with pytest.raises(ConfigError, match="its first line does not name its columns"):
        count.tables(folder)


def block(pages, count, folder, mark="results: saito2018_table5_mnist"):
    text = f"# A page\n\n<!-- {mark} -->\nold\n<!-- end -->\n\nThe end.\n"
    return pages.written(text, count.tables(folder), Path("README.md"))


def test_a_block_has_both_numbers_and_where_they_come_from(pages, count, folder):
    ours = RESULT._replace(view="published", value=30.0, low=24.0, high=36.7, unit_test="")
    add_results(folder / "saito2018/results.csv", [ours, RESULT])
    text = block(pages, count, folder)
    assert "old" not in text
    assert "\nThe end.\n" in text
    row = "| BIM 0.1 | mse | 31.6 | 30.0<br>24.0-36.7 | 12.5<br>8.6-17.8 | 63/64 | 200 | agrees |"
    assert row in text.splitlines()
    origin = "| mse | bf16-mixed | 0 | network, epochs | 68bcd3f | 0.50 | "
    assert f"{origin}`robust reproduce saito2018 table5_mnist` |" in text.splitlines()
    again = pages.written(text, count.tables(folder), Path("README.md"))
    assert again == text


def test_a_table_that_is_not_run_says_how(pages, count, folder):
    assert "`robust reproduce saito2018 table5_mnist --scale paper`" in block(pages, count, folder)
    assert "| BIM 0.1 |" not in block(pages, count, folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- results: saito2018_table5_mnits -->\n<!-- end -->\n",
            r"to name a table of a paper, .*Did you mean saito2018_table5_mnist\?",
        ),
        ("<!-- results: saito2018_table5_mnist -->\n", r"each with an end, but got 'results: "),
        ("<!-- end -->\n", r"each with an end, but got 'end'"),
    ],
)
def test_marks_that_are_none(pages, count, folder, text, message):
    with pytest.raises(ConfigError, match=message):
        pages.written(text, count.tables(folder), Path("README.md"))


def test_each_table_is_on_one_page_once(pages):
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages.pages(ROOT))
    assert sorted(re.findall(r"<!-- results: (\w+) -->", text)) == sorted(TABLES)


def test_a_page_that_is_not_up_to_date_is_named(pages, monkeypatch, capsys, tmp_path):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/results.md"
    page.write_text("<!-- counts -->\n<!-- end -->\n")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert pages.main([]) == 1
    assert "docs/results.md is not up to date" in capsys.readouterr().err
    assert pages.main(["--write"]) == 0
    assert "| all | 956 |" in page.read_text()
    assert pages.main([]) == 0
