"""What a stranger sees: the answer, a table on a phone, meanings of columns, paper, axe."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from robust.report import render
from robust.results.record_files import RecordFile
from tests.support.factories import header, info, row

DEFENSES = {"standard": (97, 20, 19), "squeezed": (98, 86, 4), "trades": (95, 80, 78)}
"""Clean, deployed and adaptive robust accuracy, in %."""
AXE = Path(os.environ.get("AXE_CORE", "axe.min.js"))
"""The file of axe-core, which `npm install axe-core` puts in `node_modules/axe-core`."""


def write_run(folder, clean, deployed, adaptive, n=100):
    made = replace(header(fgsm=info(), pgd=info("PGD")), model_sha256=folder.parent.name)
    file = RecordFile(folder / "records", made, classes=10)
    for view, kept in (("deployed", deployed), ("adaptive", adaptive)):
        for attack in ("fgsm", "pgd"):
            file.append(
                row(i, view=view, attack=attack, clean=wrong, adv=int(i * 100 >= kept * n))
                for i in range(n)
                for wrong in [int(i * 100 >= clean * n)]
            )
    file.merge()
    name = folder.parent.name.capitalize()
    (folder / "config.yaml").write_text(f"model: {{class_path: robust.defenses.{name}}}\n")
    (folder / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n0,2,0.25\n")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Ten runs, so that colours are those of defenses; two of them say nothing."""
    root = tmp_path_factory.mktemp("first") / "runs"
    for name, rates in DEFENSES.items():
        for day in range(1, 4):
            write_run(root / name / f"2026120{day}-024410-1a2b", *rates)
    write_run(root / "few" / "20261201-024410-1a2b", 99, 99, 99, n=20)
    path = root.parent / "report.html"
    path.write_text(render([root], root))
    return path


def test_the_first_screen_has_the_answer_and_its_figure(opened):
    page = opened()
    first = page.locator(".answer").first
    assert first.locator("p").text_content().split()[:5] == ["trades", "(1)", "is", "78", "%"]
    squeezed = page.locator(".answer", has_text="squeezed (1)")
    assert "looks 86 % robust and is 4 %." in squeezed.text_content()
    assert squeezed.bounding_box()["y"] < 900
    figure = squeezed.get_by_role("img")
    left, right = (figure.locator(f".{k}").bounding_box()["x"] for k in ("filled", "hollow"))
    width = figure.bounding_box()["width"]
    assert (right - left) / width == pytest.approx(0.82, abs=0.02)
    assert page.locator(".summary b").all_text_contents() == ["3", "1", "6"]


def test_a_phone_shows_the_adaptive_column_and_few_images_rank_last(opened):
    page = opened(400)
    column = page.locator("#table td.main").first.bounding_box()
    table = page.locator(".scroll", has=page.locator("#table")).bounding_box()
    assert column["x"] + column["width"] <= table["x"] + table["width"] <= 400
    head = page.locator("#table th.main button")
    for _ in range(2):
        head.click()
        rows = page.locator("#table tbody tr").evaluate_all("rows => rows.map(r => r.dataset.run)")
        assert rows[-1] == "few"


def test_columns_tell_their_meaning_to_the_pointer_and_the_keyboard(opened):
    page = opened()
    tip = page.locator("#tip")
    head = page.locator("#table th.main button")
    head.hover()
    assert "knows the defense" in tip.text_content()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    head.focus()
    assert tip.is_visible()
    assert head.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.locator(".answer .named").first.focus()
    assert "20261201-024410-1a2b, 2026-12-01 02:44" in tip.text_content()
    buttons = page.locator("#table thead button, .grid thead button").all()
    assert all(button.get_attribute("data-tip") for button in buttons)


def test_paper_has_every_chart_and_no_table_is_cut(opened):
    page = opened()
    page.wait_for_function(  # without scrolling
        """() => [...document.querySelectorAll(".vega")]
          .every((e) => e.querySelector("svg.marks, canvas"))"""
    )
    page.set_viewport_size({"width": 1020, "height": 700})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == page.locator(".vega details").count()
    cut = """areas => areas.filter((e) => e.scrollHeight > e.clientHeight + 1
      && getComputedStyle(e).overflowY !== "visible").length"""
    assert page.locator(".scroll").evaluate_all(cut) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1020
    assert len(page.pdf()) > 10_000
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#runs details[open]").count() == 0


def test_many_runs_are_named_in_the_charts(opened):
    page = opened()
    chart = page.locator(".vega[data-chart$=pareto] svg.marks")
    chart.scroll_into_view_if_needed()
    texts = chart.locator("text").all_text_contents()
    assert {"trades (1)", "squeezed (3)", "few"} <= set(texts)


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core, named by AXE_CORE")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_no_serious_fault(opened, width, theme):
    page = opened(width, theme)
    page.wait_for_function(
        """() => [...document.querySelectorAll(".vega")]
          .every((e) => e.querySelector("svg.marks, canvas"))"""
    )
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [
        (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ] == []


INKS = """() => [...document.querySelectorAll('.vega svg *')].flatMap((element) =>
  ['fill', 'stroke'].map((name) => element.getAttribute(name)).filter(Boolean))"""


def test_a_dark_page_prints_light_charts(opened):
    inks = {}
    for theme in ("light", "dark"):
        page = opened(theme=theme)
        page.evaluate("renderAll()")
        page.wait_for_function("() => document.querySelectorAll('.vega svg').length > 2")
        inks[theme] = page.evaluate(INKS)
    assert sorted(inks["dark"]) != sorted(inks["light"])
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert sorted(page.evaluate(INKS)) == sorted(inks["light"])
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(INKS) == inks["dark"]
