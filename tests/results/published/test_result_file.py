"""Numbers of a paper's cells are kept in a file: what replaces what, and what is refused."""

import multiprocessing
import os
import subprocess

import pytest

from robust.errors import ConfigError
from robust.results.published.result_file import Result, add_results, read_results, results_text

RESULT = Result(
    table="saito2018_table5_mnist",
    row="BIM 0.1",
    column="mse",
    view="adaptive",
    attack="bim_0.1",
    published=31.6,
    value=12.5,
    n=200,
    low=8.6,
    high=17.8,
    unit_test="63/64",
    differs="network, epochs",
    seed=0,
    config="mnist_softmax_mse",
    network="0123abcd",
    precision="bf16-mixed",
    commit="68bcd3f",
    hours=0.25,
    command="robust reproduce saito2018 table5_mnist",
)
CLEAN = RESULT._replace(row="clean accuracy", view="clean", attack="", published=99.7, hours=None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.csv"


def test_what_is_written_is_read(path):
    bare = RESULT._replace(view="published", low=None, high=None, seed=None, unit_test="")
    assert add_results(path, [RESULT, bare]) == [RESULT, bare]
    assert read_results(path) == [RESULT, bare]
    assert os.listdir(path.parent) == ["results.csv"]


def test_a_file_that_is_not_there_has_none(path):
    assert read_results(path) == []


def test_a_new_number_replaces_the_one_of_its_cell_and_view(path):
    published = RESULT._replace(view="published", value=99.0, low=98.0, high=99.5)
    add_results(path, [RESULT, published])
    newer = RESULT._replace(value=40.0, low=30.0, high=50.0, n=100, commit="fffffff")
    assert add_results(path, [newer]) == [newer]
    assert read_results(path) == [newer, published]


def test_a_number_that_is_the_same_keeps_its_row(path):
    """Else a table that is printed again would change each line of the file."""
    add_results(path, [RESULT])
    assert add_results(path, [RESULT._replace(commit="fffffff", hours=0.3, command="x")]) == []
    assert read_results(path) == [RESULT]


def test_clean_accuracy_of_a_network_stays_that_of_more_images(path):
    add_results(path, [CLEAN])
    assert add_results(path, [CLEAN._replace(n=50, value=10.0)]) == []
    other = CLEAN._replace(n=50, network="ffffffff")
    assert add_results(path, [other]) == [other]
    more = other._replace(n=10000)
    assert add_results(path, [more]) == [more]


def test_rows_are_in_one_order(path):
    others = [RESULT._replace(table=f"t{i}", row=r) for i in (2, 1) for r in ("b", "a")]
    add_results(path, others)
    assert [(r.table, r.row) for r in read_results(path)] == [
        ("t1", "a"),
        ("t1", "b"),
        ("t2", "a"),
        ("t2", "b"),
    ]
    before = path.read_text()
    add_results(path, others[::-1])
    assert path.read_text() == before == results_text(others)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "its first line does not name its columns"),
        (lambda text: text.replace("high", "most", 1), "its first line does not name its columns"),
        (lambda text: text + "<<<<<<< HEAD\n", "line 3 has 1 values, not 19"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 3 has a second number for one"),
        (lambda text: text.replace(",200,", ",0,"), "line 2 has no images, or one bound alone"),
        (lambda text: text.replace(",8.6,", ",,"), "line 2 has no images, or one bound alone"),
        (lambda text: text.replace(",12.5,", ",19,"), "line 2 has a value outside of its interval"),
        (lambda text: text.replace(",12.5,", ",nan,"), "line 2, value is not finite"),
        (lambda text: text.replace(",12.5,", ",many,"), "line 2, value is no number: 'many'"),
        (lambda text: text.replace(",adaptive,", ",,"), "line 2 lacks view"),
        (lambda text: text.replace(",adaptive,", ',"adaptive,'), "expected after '\"'"),
    ],
)
def test_a_damaged_file_is_refused_and_stays(path, change, reason):
    damaged = change(results_text([RESULT]))
    path.write_text(damaged)
    with pytest.raises(ConfigError) as error:
        add_results(path, [CLEAN])
    assert reason in str(error.value)
    assert str(error.value).count("\n") == 0
    assert path.read_text() == damaged


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"Restore the file, such as with git checkout, or move"):
        read_results(path)


def test_a_folder_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(ConfigError, match=r"it is a folder, not a file"):
        read_results(path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot \(No such file or directory\)"):
        add_results(tmp_path / "no" / "results.csv", [RESULT])


def _add(path, number):
    add_results(path, [RESULT._replace(row=f"row {number} {i}") for i in range(5)])


def test_two_processes_lose_none_of_each_other(path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(read_results(path)) == 20


def test_one_changed_number_is_one_changed_line(path, tmp_path):
    results = [RESULT._replace(row=f"row {i}") for i in range(20)]
    (tmp_path / "before").write_text(results_text(results))
    results[7] = results[7]._replace(value=10.0)
    path.write_text(results_text(results))
    command = ["diff", tmp_path / "before", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert sum(line.startswith(">") for line in done.stdout.splitlines()) == 1
