"""The page in a real browser; skipped where Playwright or Chromium is not installed."""

from itertools import pairwise

import pytest

from robust.report import render
from tests.support.tiny import ROOT

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    root = next(iter(trained.values())).parents[1]
    path.write_text(render([root], ROOT / "papers"))
    return path


def rendered(page):
    """Scroll until all charts that are visible are there, and return how many there are."""
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.documentElement.scrollHeight; y += 400) {
            scrollTo(0, y);
            await new Promise((done) => setTimeout(done, 30));
          }
        }"""
    )
    seen = ".vega:visible"
    count = page.locator(seen).count()
    page.wait_for_function(
        """() => [...document.querySelectorAll(".vega")].filter((e) => e.checkVisibility())
          .every((e) => e.querySelector("svg.marks, canvas"))"""
    )
    return count


def labels(page):
    return page.locator("#table tbody tr:visible").evaluate_all(
        "rows => rows.map(row => row.dataset.label)"
    )


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_is_visible_and_nothing_overflows(opened, width, theme):
    page = opened(width, theme)
    assert rendered(page) >= 5  # Pareto, overlap and three metrics of training
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (sum(channels) > 600) == (theme == "light")


def test_table_sorts_with_the_keyboard(opened):
    page = opened()
    head = page.get_by_role("columnheader", name="adaptive", exact=False).last
    values = "rows => rows.map(row => Number(row.querySelector('td.main').dataset.sort))"
    rows = page.locator("#table tbody tr")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = rows.evaluate_all(values)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    rising = rows.evaluate_all(values)
    assert falling == sorted(rising, reverse=True)
    assert rising == sorted(rising)
    page.locator("#table").get_by_role("button", name="run").click()
    assert labels(page) == ["squeezed", "standard"]
    assert page.locator("[aria-sort]").count() == 1


def test_filters_choose_rows_and_what_charts_show(opened):
    page = opened()
    rendered(page)
    page.get_by_label("Defense").select_option("Standard")
    assert labels(page) == ["standard"]
    assert page.get_by_role("status").first.text_content() == "1 of 2 rows"
    chart = page.locator(".vega[data-chart^=training]").first
    lines = "element => views.get(element).view.signal('shown')"
    assert chart.evaluate(lines) == ["standard"]
    page.get_by_label("Search").fill("squeezed")
    assert labels(page) == []
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("() => document.getElementById('count').textContent === '2 of 2 rows'")
    assert chart.evaluate(lines) is None


def test_a_colour_stands_out_and_is_kept(opened):
    page = opened()
    rendered(page)
    button = page.get_by_role("group", name="Highlight").get_by_role("button").first
    button.press("Space")
    assert button.get_attribute("aria-pressed") == "true"
    page.reload()
    assert button.get_attribute("aria-pressed") == "true"


def test_theme_can_be_chosen(opened):
    page = opened()
    rendered(page)
    color = "getComputedStyle(document.querySelector('.vega svg text')).fill"
    before = page.evaluate(color)
    page.get_by_label("Theme").select_option("dark")
    page.wait_for_function(
        f"() => document.querySelector('.vega svg text') && {color} !== '{before}'"
    )


def test_every_control_and_chart_has_a_name(opened):
    page = opened()
    rendered(page)
    for control in page.locator("main select:visible, main input:visible, button:visible").all():
        label = "e => e.labels?.length ? e.labels[0].textContent.trim() : e.textContent.trim()"
        assert control.evaluate(label)
    for chart in page.locator(".vega:visible svg.marks").all():
        assert chart.evaluate("e => e.closest('[aria-label]').getAttribute('aria-label')")
    for area in page.locator(".scroll").all():
        assert area.get_attribute("tabindex") == "0"
        assert area.get_attribute("aria-label")
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    headings = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => h.tagName[1])")
    assert headings[0] == "1"
    assert all(int(b) - int(a) <= 1 for a, b in pairwise(headings))


def test_overlap_follows_the_chosen_view(opened):
    page = opened()
    rendered(page)
    box = page.locator(".overlap:visible")
    view = box.locator("select[name=view]")
    assert view.input_value() == "adaptive"
    view.select_option("deployed")
    page.wait_for_function(
        """() => [...document.querySelectorAll(".overlap [aria-label]")]
          .some((e) => e.getAttribute("aria-label").endsWith("deployed view"))"""
    )
