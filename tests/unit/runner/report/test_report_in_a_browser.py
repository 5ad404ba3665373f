"""The page in a browser: on a desktop, on a phone, in dark mode and printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests import chromium
from tests.unit.runner.report.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from tests.unit.runner.report.conftest import Made

STRUCTURE: Final = Path(__file__).with_name("structure.txt")
CHARTS: Final = 18
TEXT: Final = 4.5
GRAPHICS: Final = 3.0
"""Contrast that WCAG AA asks of text, and of what must be seen."""
LUMINANCE: Final = """
name => {
  const probe = document.createElement('span');
  document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  const [r, g, b] = parts.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
"""
UNSEEN_TEXT: Final = """
() => [...document.querySelectorAll('svg text')].filter(text => {
  const svg = text.ownerSVGElement.getBoundingClientRect(), box = text.getBoundingClientRect();
  return svg.width && (box.left < svg.left - 1 || box.right > svg.right + 1
    || box.top < svg.top - 1 || box.bottom > svg.bottom + 1);
}).map(text => text.closest('svg').dataset.chart + ': ' + text.textContent)
"""
WIDER: Final = """
() => [...document.querySelectorAll('table')]
  .filter(table => table.getBoundingClientRect().width > table.parentElement.clientWidth + 1)
  .map(table => table.id || table.className)
"""
FLAT_CHARTS: Final = """
() => [...document.querySelectorAll('svg[data-chart]')].filter(svg => svg.getBoundingClientRect().width
  && ![...svg.querySelectorAll('path')].some(path => path.getTotalLength() > svg.viewBox.baseVal.width * 0.5
    && (path.getAttribute('d').match(/[ML]/g).length > 20 || path.getBBox().height > 50)))
  .map(svg => svg.dataset.chart)
"""


SMALLEST: Final = """
() => Math.min(...[...document.querySelectorAll('svg text')]
  .map(text => text.getBoundingClientRect()).filter(box => box.width).map(box => box.height))
"""
TWICE: Final = """
() => [...document.querySelectorAll('[id]')].map(one => one.id)
  .filter((id, place, ids) => ids.indexOf(id) !== place)
"""


@pytest.fixture
def heard() -> list[str]:
    """Collect what a page says on the console, and what it asks for."""
    return []


@pytest.fixture
def show(browser: Browser, made: Made, heard: list[str]) -> Iterator[Any]:
    """Open the page in a way of one's own."""
    contexts = []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(chromium.PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(made.page.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def test_page_has_the_recorded_structure(made: Made):
    """Conclusion and key figures first, then performance, signal, today and the checks."""
    outline = "\n".join(read_page(made.page.read_text()).outline) + "\n"
    assert re.sub(r" [A-Z]+ \(\d+/\d+\)", "", outline) == STRUCTURE.read_text()


def test_page_makes_no_requests_and_logs_no_errors(show: Any, made: Made, heard: list[str]):
    """One file is all there is."""
    show()
    assert heard == [made.page.as_uri()]


def test_every_chart_has_a_title_a_description_and_data(show: Any):
    """It has a description, and draws more than axes."""
    page = show(viewport={"width": 1280, "height": 900})
    charts = page.locator("svg[data-chart]:visible")
    assert charts.count() == CHARTS
    for chart in charts.all():
        said = chart.get_attribute("aria-label")
        title = chart.locator("xpath=ancestor::figure//h3").inner_text()
        assert (chart.get_attribute("role"), said[: len(title)]) == ("img", title)
        assert any(letter.isdigit() for letter in said[len(title) :])
    assert page.evaluate(FLAT_CHARTS) == []


@pytest.mark.parametrize("width", [320, 326, 360, 768, 1024, 1280])
def test_page_fits_the_screen(show: Any, width: int):
    """Nothing overflows, no label is cut off, and text is readable on a phone."""
    page = show(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDER) == []
    assert page.evaluate(UNSEEN_TEXT) == []
    assert round(page.evaluate(SMALLEST), 2) >= 9  # a box lies between pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(show: Any, scheme: str):
    """Text and lines have enough contrast in both colour schemes."""
    page = show(color_scheme=scheme)
    ground, panel = (page.evaluate(LUMINANCE, name) for name in ("ground", "panel"))
    assert (ground > 0.5) == (scheme == "light")
    shown = [(name, TEXT) for name in ("ink", "muted", "good", "bad", "warn", "strategy")]
    shown += [(name, GRAPHICS) for name in ("benchmark", "other", *(f"run{i}" for i in range(1, 9)))]
    for name, least in shown:
        for behind in (ground, panel):
            high, low = sorted((page.evaluate(LUMINANCE, name), behind), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, name


def test_print_is_light_on_any_screen(show: Any):
    """The widest table fits the sheet, and there are few pages."""
    page = show(color_scheme="dark", viewport={"width": 688, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(LUMINANCE, "ground") == pytest.approx(1)
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    sheets = page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
    assert 3 <= sheets <= 9


def test_page_can_be_used_by_keyboard(show: Any):
    """The first stop skips the header; every stop shows its focus and has a target."""
    page = show()
    links = page.locator("a[href]").count()
    seen = []
    for _ in range(links):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.getAttribute('href')"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen[0] == "#performance"
    assert all(page.locator(str(target)).count() == 1 for target in seen)
    assert page.evaluate("document.documentElement.lang") == "en"


def test_ids_are_unique(show: Any):
    """Charts are drawn one by one and stand in one page."""
    assert show().evaluate(TWICE) == []
