"""The checker of Markdown pages finds each kind of fault, and the repository's pages have none."""

import pytest

from tests.support import prose

SENTENCE = "\n".join(["word"] * 25) + "."
LONG = f"word {SENTENCE}"


@pytest.fixture
def page(tmp_path):
    """Write a page beside an `other.md` with one heading, and return what is wrong with it."""

    def faults(text):
        (tmp_path / "other.md").write_text("# One `two` [three](x.md), four!\n\n# Same\n\n# Same\n")
        path = tmp_path / "page.md"
        path.write_text(text + "\n")
        return [fault.text for fault in prose.faults(path)]

    return faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a " * 51, "102 columns, at most 100"),
        ("- " + "a " * 50, "102 columns, at most 100"),
        ("# " + "a " * 50, "102 columns, at most 100"),
        ("See [it](https://example.com/" + "x" * 80 + ").", "columns, at most 100"),
        (LONG, "26 words, at most 25: word word"),
        (f"Short.\n\n- Short: {LONG}", "26 words, at most 25: word word"),
        (f"Smith et al. {LONG[9:]}", "27 words, at most 25: Smith et al word"),
        (f"It is 0.3 % {LONG[9:]}", "27 words, at most 25: It is 0.3 % word"),
        (f"`a b c` {SENTENCE}", "26 words, at most 25: CODE word"),
        (f"[a b]({'x' * 9}) {SENTENCE[5:]}", "26 words, at most 25: a b word"),
        ("The net is robust.", "'net': write network"),
        ("An image is\nbroken.", "'broken': write misclassified, or an attack succeeds"),
        ("Images that were flipped", "'flipped': write misclassified"),
        ("PGD 0.3 leaves\n9.5 % of it.", "write a robust accuracy of"),
        ("It was turned.", "'turned': write misclassified"),
        ("It draws a figure.", "'draws': write plot a figure"),
        ("All but for one, made anew.", "'anew': write again"),
        ("| The whole | b |\n| --- | --- |", "'whole': write complete, full or all"),
        (
            "| a | as published |\n| --- | --- |",
            "column 'as published': write ours, paper's attack",
        ),
        ("| a | measured |\n| --- | --- |", "column 'measured': write ours"),
        ("[it](absent.md)", "no file absent.md"),
        ("![it](images/absent.png)", "no file images/absent.png"),
        ("[it](other.md#two)", "no heading #two in other.md"),
        ("[it](other.md#same-2)", "no heading #same-2 in other.md"),
        ("# Here\n\n[it](#there)", "no heading #there in page.md"),
    ],
)
def test_each_fault_is_found(page, text, fault):
    assert any(fault in found for found in page(text))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 101,
        "- [" + "a" * 60 + "](https://example.com/" + "x" * 60 + ")",
        "| " + "a " * 60 + "|",
        "```\n" + "the net " * 30 + "\n[it](absent.md)\n```",
        SENTENCE,
        f'{SENTENCE[:-1]}: {SENTENCE[:-1]}? ({SENTENCE}) **{SENTENCE}** "{SENTENCE}" {SENTENCE}',
        f"{SENTENCE[:-1]}\n- {SENTENCE[:-1]}\n1. {SENTENCE[:-1]}\n\n{SENTENCE}",
        f"`{SENTENCE}` is % one = word",
        "A line break, a flipped bit, turned off; `the net`.",
        "| a | `published` | paper |\n| --- | --- | --- |",
        "[it](other.md#one-two-three-four), [it](other.md#same-1), [it](other.md)",
        "`[it](absent.md)`",
        "# A heading\n\n[it](#a-heading), [it](https://example.com/absent.md#x)",
    ],
)
def test_what_is_right_passes(page, text):
    assert page(text) == []


def test_a_fault_has_its_line(tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text("# Title\n\nFine\nnets.\n")
    assert prose.main([str(path)]) == 1
    assert capsys.readouterr().out == f"{path}:4: 'nets': write network\n"
    path.write_text("# Title\n")
    assert prose.main([str(path)]) == 0


@pytest.mark.slow  # as `make lint`, which reads them all
def test_the_comments_of_a_config_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# Paper: FGSM leaves 95 %.\nnet: 1\n# Ours: it resists.\n")
    assert [fault.line for fault in prose.faults(path)] == [1, 3]
    path.write_text("# " + "a " * 50 + "\n  # " + "a" * 99 + "\na: [" + "1, " * 40 + "1]\n")
    assert [fault.line for fault in prose.faults(path)] == [1]


def test_no_config_has_a_fault():
    assert len(prose.configs()) > 90
    assert not [(path, fault) for path in prose.configs() for fault in prose.faults(path)]


@pytest.mark.slow  # as `make lint`, which reads them all
def test_no_python_file_has_a_fault():
    faults = [(path, fault) for path in prose.code() for fault in prose.faults(path)]
    assert not faults


@pytest.mark.parametrize("path", prose.pages(), ids=lambda path: path.name)
def test_the_pages_of_the_repository_pass(path):
    assert prose.faults(path) == []


def test_every_page_is_read():
    read = {path.relative_to(prose.ROOT).as_posix() for path in prose.pages()}
    assert {"README.md", "docs/architecture.md", "papers/tuna2022/README.md"} <= read


def test_every_python_file_is_read():
    read = {path.relative_to(prose.ROOT).as_posix() for path in prose.code()}
    assert {
        "train.py",
        "robust/errors.py",
        "robust/__main__.py",
        "tests/test_duck_typing.py",
        "tests/attacks/gradient/test_apgd.py",
        "tests/support/tiny.py",
        "tests/conftest.py",
    } <= read
