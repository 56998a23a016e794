"""The page in a real browser, on a desk and on a phone, in daylight and at night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assess.browser import Browser, chromium
from assess.reports import every_problem, quiet, report, trapped
from bollard.assess.report import page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="needs Debian's chromium"),
]
DESK, PHONE = 1280, 375
PAGES = {"hostile": report, "quiet": quiet, "everything": every_problem, "trap": trapped}

#: Elements that reach out of the screen.
WIDE = """[...document.querySelectorAll('body *')].filter(each => {
  const box = each.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).map(each => each.tagName + ' ' + each.textContent.slice(0, 40))"""
#: Cells that say how a check ended and are broken into lines, or into nothing.
BROKEN = """[...document.querySelectorAll('td.fail, td.pass, td.inconclusive, td.not-tested')].filter(each => {
  const range = document.createRange();
  range.selectNodeContents(each);
  return range.getClientRects().length != 1;
}).map(each => each.textContent)"""
#: What is in a fold and cannot be seen.
FOLDED = """[...document.querySelectorAll('details > dl')].filter(each =>
  !each.checkVisibility() || each.getBoundingClientRect().height == 0
).map(each => each.textContent)"""
#: Texts whose colour stands out too little from what is behind them: (contrast, text).
PALE = """(() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const behind = each => {
    for (; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')].filter(each =>
    [...each.childNodes].some(node => node.nodeType == 3 && node.textContent.trim())
  ).map(each => {
    const [a, b] = [light(numbers(getComputedStyle(each).color)), light(behind(each))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.textContent.slice(0, 40)];
  }).filter(([contrast]) => contrast < 4.5);
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module", params=list(PAGES))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(page.render(PAGES[request.param]()), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_nothing_reaches_out_of_the_screen_and_no_result_is_broken(
    browser: Browser, file: Path, width: int
) -> None:
    browser.show(file, width)
    assert browser.see("innerWidth") == width
    assert browser.see("document.documentElement.scrollWidth") <= width
    assert browser.see(WIDE) == []
    assert browser.see(BROKEN) == []


@pytest.mark.parametrize("dark", [False, True], ids=["by day", "at night"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, file: Path, dark: bool) -> None:
    browser.show(file, PHONE, dark=dark)
    assert browser.see(PALE) == []


def test_nothing_is_fetched_and_nothing_had_to_be_stopped(browser: Browser, file: Path) -> None:
    browser.show(file, DESK)
    browser.see("1")
    asked = [
        each["params"]["request"]["url"]
        for each in browser.events
        if each["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [file.as_uri()]
    assert [each for each in browser.events if each["method"] == "Log.entryAdded"] == []
    assert browser.see("document.scripts.length") == 0
    assert browser.see("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


def test_on_paper_what_is_folded_is_open(browser: Browser, file: Path) -> None:
    browser.show(file, DESK, medium="print")
    assert browser.see("document.querySelectorAll('details > dl').length") > 0 or "quiet" in file.name
    assert browser.see(FOLDED) == []
