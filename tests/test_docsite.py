"""The site has all pages of the repository, whose links lead somewhere, and a reference."""

import re
import tomllib

import pytest
import yaml

import robust
from docsite import pages, reference
from docsite.links import dead_links
from robust.commands.listing import KINDS
from tests.support.tiny import ROOT

CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    pages.write_pages(folder)
    pages.write_folders(folder)
    return folder


def in_nav(entry):
    """Return the pages of an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    inside = entry if isinstance(entry, list) else entry.values()
    return [page for part in inside for page in in_nav(part)]


def test_the_navigation_has_every_page_once(written):
    named = in_nav(CONFIG["nav"])
    generated = [f"reference/{name}.md" for name in reference.pages()]
    made = [path.relative_to(written).as_posix() for path in written.rglob("*.md")]
    assert sorted(named) == sorted([*made, *generated])


def test_every_link_leads_to_a_file_of_the_site(written):
    dead = [
        (path.name, target)
        for path in written.rglob("*.md")
        for line, is_prose in pages.outside_code(path.read_text(encoding="utf-8"))
        for _, target, _ in (pages.LINK.findall(line) if is_prose else ())
        if not target.startswith(pages.ELSEWHERE)
        and not (path.parent / target.partition("#")[0]).is_file()
    ]
    assert dead == []


def test_links_of_code_and_of_the_web_stay(tmp_path):
    page = pages.ROOT / "docs" / "new.md"
    (source := tmp_path / "new.md").write_text(
        "[a](../papers/tuna2022/README.md#results) [b](https://example.org/c)\n"
        "```\n[a](../papers/tuna2022/README.md)\n```\n"
    )
    places = {path: name for name, path in pages.sources().items()}
    text, files = pages.rewritten(page, "new.md", places, source.read_text())
    assert text.splitlines()[0] == "[a](papers/tuna2022.md#results) [b](https://example.org/c)"
    assert text.splitlines()[2] == "[a](../papers/tuna2022/README.md)"
    assert files == {}


def test_a_linked_file_is_copied_and_an_image_stays_one():
    text = (
        '[c](../configs/squeezed.yaml)\n<img src="images/strong.png" alt="x">\n[e](../examples)\n'
    )
    found, files = pages.rewritten(pages.ROOT / "docs" / "new.md", "new.md", {}, text)
    assert found == (
        '[c](files/configs/squeezed.yaml)\n<img src="images/strong.png" alt="x">\n'
        "[e](files/examples.md)\n"
    )
    assert sorted(files.values()) == ["files/configs/squeezed.yaml", "images/strong.png"]


def test_the_reference_has_all_names_of_the_face():
    text = reference.api()
    told = set(re.findall(r"^::: robust\.(\w+)$", text, re.M))
    assert told == set(robust.__all__) - {"__version__", "attacks"}


def test_the_reference_has_each_class_that_a_config_names():
    text = reference.classes()
    suite = yaml.safe_load((ROOT / "configs/suites/strong.yaml").read_text())
    names = [attack["class_path"] for attack in suite["attacks"].values()]
    for name in [*names, *KINDS["attacks"](), "robust.tracking.BestCheckpoint"]:
        assert re.search(rf"^(:::|###) {re.escape(name)}$", text, re.M), name
    assert reference.ungrouped() == []


def test_the_reference_has_the_help_of_each_command():
    names = reference.command_names()
    assert {"train", "evaluate", "card", "verify", "list", "fit", "test"} <= set(names)
    assert reference.help_of("list").startswith("usage: robust list KIND")


def test_the_reference_has_each_suite():
    text = reference.suites()
    assert [text.count(f"\n## {p.stem}\n") for p in (ROOT / "configs/suites").glob("*.yaml")] == [
        1
    ] * len(list((ROOT / "configs/suites").glob("*.yaml")))
    assert "`saito2018_table3`" in text


def test_a_sentence_in_a_table_stays_in_its_cell():
    assert "``\\|x' - x\\|_2^2" in reference.attacks()


def test_a_dead_link_and_a_mute_image_are_found(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h1 id="there">x</h1><a href="../#top">x</a>')
    (tmp_path / "index.html").write_text(
        '<p id="top"><a href="other/">a</a><a href="other/#there">b</a><a href="/other/">c</a>'
        '<a href="other/#away">d</a><a href="gone/">e</a><a href="https://example.org">f</a>'
        '<img src="other/index.html"><img src="other/index.html" alt="seen">'
    )
    assert dead_links(tmp_path) == [
        "index.html: dead link gone/",
        "index.html: dead link other/#away",
        "index.html: no alt text: other/index.html",
    ]
