"""A guest with a phone, who has nothing but a link: watches, comments at a moment, approves, and is asked again.

With SCREENSHOTS set to a folder, the pictures of docs/sharing.md are taken anew and kept there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.factories import make_session
from tests.storyboard.test_in_chromium import (
    CHROMIUM,
    PATIENCE,
    SCREENSHOTS,
    address,
    is_trouble,
    page,
    records,
    sign_in_with_key,
)

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["address", "page", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


@pytest.fixture
def phone(page: Page) -> Iterator[Page]:
    """Open a window as wide as a phone in a profile of its own, without the cookies of the owner."""
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True
    )
    complaints: list[str] = []
    guest = context.new_page()
    guest.set_default_timeout(PATIENCE)
    guest.on("console", lambda said: complaints.append(said.text) if is_trouble(said) else None)
    guest.on("pageerror", lambda error: complaints.append(str(error)))
    yield guest
    context.close()
    assert complaints == []


def test_a_guest_comments_and_approves_on_a_phone_until_a_scene_is_made_anew(
    records: Records, runware: LocalRunware, address: str, page: Page, phone: Page
) -> None:
    records.save_session(make_session(session_id="shared", product_name="GlowCap", seconds=2))
    sign_in_with_key(page, f"{address}/sessions/shared")
    page.get_by_role("button", name="Generate the 4 clips").click()
    page.get_by_role("button", name="Make the ad").click()
    expect(page.locator("#cut-player video")).to_be_visible()
    link = make_link(page)

    phone.goto(link)
    expect(phone.get_by_role("heading", name="GlowCap")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the phone"
    comment_at_six_seconds(phone)
    approve(phone)
    page.reload()
    expect(page.get_by_text("Anna at the client", exact=True)).to_be_visible()
    expect(page.locator(".heading")).to_contain_text("Approved")
    expect(page.get_by_role("link", name="at 0:06")).to_be_visible()
    keep(page, phone)

    page.goto(f"{address}/sessions/shared")
    shared = page.locator("#shared")
    expect(shared).to_contain_text("Anna at the client Open")
    expect(shared.locator("h2 + .chip")).to_have_text("Approved")
    shared.get_by_role("link", name="at 0:06").click()
    page.wait_for_function("() => document.querySelector('#cut-player video').currentTime >= 6")
    page.locator("#cut-player video").evaluate("video => video.pause()")
    page.locator("#hook-visual_description").fill("A moth circles the lamp")
    page.locator("#hook").get_by_role("button", name="Regenerate").click()
    expect(page.locator("#hook-state")).to_contain_text("Take 2")
    expect(page.locator("#hook-state")).to_contain_text("Completed")
    expect(shared.locator("h2 + .chip")).to_have_text("Changed since the last decision")
    page.goto(f"{address}/sessions/shared/share")
    expect(page.locator(".heading")).to_contain_text("Changed since the last decision")
    phone.reload()
    expect(phone.locator(".said")).to_contain_text("Approved, of an earlier version")
    expect(phone.locator("video")).to_have_count(4)

    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("The link was withdrawn")).to_be_visible()
    assert phone.request.get(link).status == 410
    assert [entry.scenario for entry in runware.ledger.entries].count(Scenario.HOOK) == 2
    assert len(runware.ledger.entries) == 5, "a guest buys nothing"


def make_link(page: Page) -> str:
    page.get_by_role("link", name="Share and comments").click()
    page.get_by_label("For whom").fill("Anna at the client")
    page.get_by_role("button", name="Make the link").click()
    field = page.get_by_label("The link. Copy it now")
    link = field.input_value()
    page.get_by_role("link", name="GlowCap").click()
    page.get_by_role("link", name="Share and comments").click()
    assert link not in page.content()
    return link


def comment_at_six_seconds(phone: Page) -> None:
    video = phone.locator("video")
    video.evaluate("video => { video.muted = true; video.currentTime = 6.4; return video.play() }")
    phone.wait_for_function("video => video.currentTime > 6.4", arg=video.element_handle())
    video.evaluate("video => { video.pause(); video.currentTime = 6.2 }")
    phone.get_by_role("button", name="Comment at 0:06").tap()
    expect(phone.get_by_label("Your comment")).to_be_focused()
    expect(phone.get_by_label("At (minutes:seconds)")).to_have_value("0:06")
    phone.get_by_label("Your comment").fill("The lamp is too dark here.")
    phone.get_by_label("Your name").fill("Anna")
    phone.get_by_role("button", name="Send the comment").tap()
    expect(phone.get_by_text("Your comment was sent")).to_be_visible()
    phone.get_by_role("link", name="at 0:06").tap()
    phone.wait_for_function("() => document.querySelector('video').currentTime >= 6")
    phone.locator("video").evaluate("video => video.pause()")


def approve(phone: Page) -> None:
    expect(phone.get_by_label("Your name")).to_have_value("Anna")
    phone.get_by_role("button", name="Approve").tap()
    expect(phone.get_by_text("You have approved this ad.")).to_be_visible()


def keep(page: Page, phone: Page) -> None:
    if not SCREENSHOTS:
        return
    for shown, name in ((page, "owner"), (phone, "guest")):
        shown.screenshot(path=Path(SCREENSHOTS) / f"sharing-{name}.jpg", type="jpeg", quality=75, full_page=True)
