"""Every page in every state for all people: light and dark, at 360 pixels, at 200 % zoom, and in words for people.

axe checks what a program can check. A page is one line in `PAGES`.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from adreel.records import Records
from adreel.storage import Storage
from tests.storyboard.conftest import Orders, visiting
from tests.storyboard.every_page import KEY, PAGES, VIEW_KEY, Shelf, Shown
from tests.storyboard.reading import COMMANDS
from tests.storyboard.test_in_chromium import CHROMIUM, SCREENSHOTS, wait_for_clips

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
WIDE, ZOOMED, PHONE = 1280, 640, 360
"""Widths in CSS pixels. A window of 1280 pixels at 200 % zoom has 640 of them."""
HEIGHT = 960
PICTURE = (800, 600)
RUN = """async (options) => {
  const { violations } = await axe.run({ resultTypes: ["violations"], preload: false, ...options });
  const told = (id, node) => `${id}: ${node.html} ${node.failureSummary}`;
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => told(id, node)));
}"""
CONTRAST = {"runOnly": ["color-contrast"]}
ALL_BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
WORDS = """() => {
  const named = [...document.querySelectorAll("[aria-label], [title], [alt], [placeholder]")];
  const hidden = named.map((each) => [each.ariaLabel, each.title, each.alt, each.placeholder].join(" "));
  return [document.documentElement.textContent, ...hidden].join("\\n");
}"""


class Site:
    """The pages of two storages behind one browser."""

    def __init__(self, browser: Browser, addresses: dict[str, str], links: dict[str, str]) -> None:
        self._browser, self._addresses, self._links = browser, addresses, links
        self._signed = {
            (name, key): self._sign_in(address, key) for name, address in addresses.items() for key in (KEY, VIEW_KEY)
        }

    def open(self, shown: Shown) -> Page:
        """Open a page in its state."""
        context = self._signed[shown.site, shown.key] if shown.is_signed_in else self._context()
        page = context.new_page()
        page.goto(self._addresses[shown.site] + shown.path.format_map(self._links))
        shown.act(page)
        return page

    def close(self, page: Page, shown: Shown) -> None:
        """Close what was opened."""
        if shown.is_signed_in:
            page.close()
        else:
            page.context.close()

    def _context(self) -> BrowserContext:
        # Without motion, colours are those of the scheme at once.
        return self._browser.new_context(
            timezone_id="UTC", viewport={"width": WIDE, "height": HEIGHT}, reduced_motion="reduce"
        )

    def _sign_in(self, address: str, key: str) -> BrowserContext:
        context = self._context()
        page = context.new_page()
        page.goto(address)
        page.get_by_label("key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.close()
        return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve a storage with an ad in every state, and an empty one."""
    folder = tmp_path_factory.mktemp("site")
    # Fixtures of a module are set up before the environment of its first test.
    with pytest.MonkeyPatch.context() as environment:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            environment.setenv(name, str(folder / name))
        yield from _serve(folder)


def _serve(folder: Path) -> Iterator[Site]:
    links = Shelf(Records(Storage(str(folder / "full"))), folder).fill()
    with ExitStack() as stack:
        addresses = {}
        for name in ("full", "empty"):
            settings = {"ADREEL_STORAGE": str(folder / name), "ADREEL_API_KEYS": f"studio:{KEY},client/view:{VIEW_KEY}"}
            client = stack.enter_context(visiting(Orders(), **settings))
            addresses[name] = str(client.base_url)
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        yield Site(browser, addresses, links)


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
def test_a_page_is_for_everybody(site: Site, shown: Shown) -> None:
    page = site.open(shown)
    assert shown.names_commands or COMMANDS.findall(page.evaluate(WORDS)) == []
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate(AXE)
    # Contrast takes most of the time. The width changes no colours, and the colours no other rule.
    found = {"light": page.evaluate(RUN, {})}
    page.emulate_media(color_scheme="dark")
    found["dark"] = page.evaluate(RUN, CONTRAST)
    for name, width in (("zoomed", ZOOMED), ("phone", PHONE)):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        found[name] = page.evaluate(RUN, ALL_BUT_CONTRAST)
    assert {name: violations for name, violations in found.items() if violations} == {}
    site.close(page, shown)


@pytest.mark.skipif(not SCREENSHOTS, reason="SCREENSHOTS names no folder for the pictures of docs/storyboard.md")
def test_a_picture_of_every_page_is_kept(site: Site) -> None:
    folder = Path(SCREENSHOTS) / "pages"
    folder.mkdir(exist_ok=True)
    for shown in [each for each in PAGES if each.is_pictured]:
        page = site.open(shown)
        wait_for_clips(page)
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            small = picture.convert("RGB").resize(PICTURE, Image.Resampling.LANCZOS)
        small.save(folder / f"{shown.name}.jpg", quality=60, optimize=True)
        site.close(page, shown)
