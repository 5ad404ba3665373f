"""The pages in Chromium: they refresh themselves, fit a phone, and load nothing from elsewhere."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect
from tests import chromium

from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.storage.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from tests.unit.runner.ui.conftest import Served

ADDRESSES = (
    "/",
    "/series?of=local%2Fname%2Fnightly",
    "/runs",
    "/runs?q=nothing",
    "/runs/nightly-0",
    "/runs/busy-1",
    "/runs/nightly-0/logs/stderr",
    "/followup",
    "/books",
    "/book/us-shadow",
    "/book/us-held",
    "/book/us-held/ledger.html",
)
CONTRAST = 4.5
"""The contrast that WCAG 2 requires of text at level AA."""
CUT = """
() => {
  const right = (element) => element.getBoundingClientRect().right;
  const cells = [...document.querySelectorAll("#table-figures td")];
  return cells.some((cell) => right(cell) > right(cell.closest("section")) + 1);
}
"""
MEASURE = """
() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const share = [0.2126, 0.7152, 0.0722];
  const light = (rgb) => rgb.map(channel).reduce((sum, value, at) => sum + value * share[at], 0);
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || element.closest("svg")) continue;
    const ink = light(numbers(getComputedStyle(element).color).slice(0, 3));
    const other = light(ground(element));
    const ratio = (Math.max(ink, other) + 0.05) / (Math.min(ink, other) + 0.05);
    found.push([ratio, element.outerHTML.slice(0, 90)]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}
"""


UNSEEN_TEXT = """
() => [...document.querySelectorAll('svg.chart text, .plot text')].filter(text => {
  const svg = text.ownerSVGElement.getBoundingClientRect(), box = text.getBoundingClientRect();
  return box.left < svg.left - 1 || box.right > svg.right + 1
    || box.top < svg.top - 1 || box.bottom > svg.bottom + 1;
}).map(text => text.textContent)
"""


@pytest.fixture(scope="module", autouse=True)
def followed_up(pages: Served) -> None:
    """Compute a followup, so that there is a chart."""
    update(pages.small.volume)


@pytest.fixture
def page(browser: Browser, pages: Served) -> Iterator[Page]:
    """Open a page that may load nothing from elsewhere and may log no error."""
    context = browser.new_context(base_url=pages.url)
    context.set_default_timeout(chromium.PATIENCE)
    expect.set_options(chromium.PATIENCE)
    one = context.new_page()
    asked: list[str] = []
    messages: list[str] = []
    one.on("request", lambda request: asked.append(request.url))
    one.on("console", lambda message: messages.append(message.text))
    one.on("pageerror", lambda error: messages.append(str(error)))
    yield one
    context.close()
    assert [url for url in asked if not url.startswith((f"{pages.url}/", "data:"))] == []
    assert [text for text in messages if "Blocked script execution" not in text] == []


def folder(pages: Served, run_id: str) -> Path:
    """Return the folder of a run."""
    return pages.small.data / ARTIFACTS / run_id


def test_list_refreshes_itself(page: Page, pages: Served):
    """A new run appears, and text that is being typed is kept."""
    page.goto("/runs")
    page.get_by_label("Words").fill("half a wo")
    pages.small.add_run("later-1", 64)
    expect(page.get_by_role("link", name="later-1")).to_be_visible()
    expect(page.get_by_label("Words")).to_have_value("half a wo")


def test_refresh_keeps_the_focus(page: Page, pages: Served):
    """A link keeps the focus, and rows that have not changed are not replaced."""
    page.goto("/runs")
    link = page.get_by_role("link", name="nightly-0")
    link.focus()
    for name in ("later-2", "later-3"):
        pages.small.add_run(name, 64)
        expect(page.get_by_role("link", name=name)).to_be_visible()
        expect(link).to_be_focused()
    link.evaluate("link => { link.mark = true; }")
    document = folder(pages, "later-3") / "RUN_METADATA.json"
    write_atomically(document, document.read_bytes().replace(b'"complete"', b'"interrupted"'))
    expect(page.locator("tr", has_text="later-3").locator(".badge")).to_have_text("interrupted")
    assert link.evaluate("link => link.mark && link === document.activeElement")


def test_selecting_a_status_filters_at_once(page: Page):
    """The filter is part of the address."""
    page.goto("/runs")
    page.get_by_label("Status").select_option("failed")
    page.wait_for_url("**/runs?status=failed*")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="broken-1")).to_be_visible()


def test_log_shows_new_lines(page: Page, pages: Served):
    """It stays at the end, unless the reader has scrolled up."""
    log = folder(pages, "busy-1") / "stdout.log"
    page.goto("/runs/busy-1/logs/stdout")
    shown = page.locator("#log")
    with log.open("a") as stream:
        stream.write("".join(f"epoch {number} <b>\n" for number in range(200)))
    expect(shown).to_contain_text("epoch 199 <b>")
    assert shown.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 40
    shown.evaluate("log => { log.scrollTop = 0; }")
    with log.open("a") as stream:
        stream.write("the last line\n")
    expect(shown).to_contain_text("the last line")
    assert shown.evaluate("log => log.scrollTop") == 0
    assert shown.locator("b").count() == 0


def test_run_that_ends_shows_its_report(page: Page, pages: Served):
    """The page of the running run changes to that of an ended run, and so does its log."""
    running = folder(pages, "busy-1")
    page.goto("/runs/busy-1")
    expect(page.locator("#live .title .badge")).to_have_text("running")
    log = page.context.new_page()
    log.goto("/runs/busy-1/logs/stdout")
    expect(log.locator("#follows")).to_contain_text("followed")
    document = json.loads((running / "RUN_METADATA.json").read_text())
    (running / "report.html").write_text("<p id=said>it is done</p>")
    (running / "RUN_METADATA.json").write_text(json.dumps({**document, "status": "complete"}))
    expect(page.locator("#live .title .badge")).to_have_text("complete")
    expect(page.frame_locator("iframe").locator("#said")).to_have_text("it is done")
    expect(log.locator("#follows")).to_have_text("the run has ended")


def test_scripts_of_a_report_do_not_run(page: Page):
    """The frame shows its text and style only."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto("/runs/nightly-0")
    frame = page.frame_locator("iframe")
    expect(frame.locator("#said")).to_contain_text("a report of its own")
    expect(frame.locator("#said")).to_have_css("color", "rgb(255, 0, 0)")
    assert dialogs == []
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(page: Page, scheme: str):
    """In the light and in the dark color scheme."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for address in ADDRESSES:
        page.goto(address)
        worst, where = page.evaluate(MEASURE)
        assert worst >= CONTRAST, f"{address}: {worst:.2f} {where}"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 21, 27)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_pages_fit_a_phone(page: Page):
    """Nothing is wider than the screen, and figures keep their names."""
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ADDRESSES:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 360, address
        assert page.evaluate(CUT) is False, address
    page.goto("/runs")
    cell = page.locator("td[data-label=Drawdown]").first
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Drawdown"'


@pytest.mark.parametrize("width", [320, 360, 800])
def test_labels_of_a_chart_are_not_cut(page: Page, width: int):
    """Also where the letters are large for the chart."""
    page.set_viewport_size({"width": width, "height": 740})
    page.goto("/followup")
    expect(page.locator("svg.chart text", has_text="\N{MINUS SIGN}").first).to_be_visible()
    assert page.evaluate(UNSEEN_TEXT) == []
    page.goto("/book/us-shadow")
    expect(page.locator(".plot text", has_text="missed").first).to_be_visible()
    assert page.evaluate(UNSEEN_TEXT) == []


def test_marked_runs_stay_marked_and_are_compared(page: Page):
    """While the list refreshes itself; the comparison fills the width of the window."""
    page.goto("/runs")
    for name in ("nightly-0", "nightly-1"):
        page.get_by_label(f"Compare {name}").check()
    with page.expect_response(lambda answer: answer.url.endswith("/runs")):
        pass  # the list asks again every five seconds
    expect(page.get_by_label("Compare nightly-1")).to_be_checked()
    page.get_by_role("button", name="Compare marked runs").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="2 runs compared")).to_be_visible()
    box = page.locator("iframe").bounding_box()
    assert box is not None
    assert box["width"] >= page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_keyboard_reaches_everything(page: Page):
    """The content with one key, and every link in turn."""
    page.goto("/runs")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert any(re.match("nightly|broken|busy|later", name) for name in reached)
    assert {"q", "Filter"} <= reached


def test_pictures_and_tables_have_names(page: Page):
    """For screen readers."""
    page.goto("/followup")
    expect(page.get_by_role("img", name=re.compile("Cumulative IC from .* over 1 day"))).to_be_visible()
    assert page.locator("table th:not([scope])").count() == 0
    page.goto("/runs/nightly-0")
    assert page.locator("iframe:not([title])").count() == 0
    assert page.locator("html").get_attribute("lang") == "en"
