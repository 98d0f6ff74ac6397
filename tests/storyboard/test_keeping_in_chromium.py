"""The list of ads in a real browser: one ad is found among 300, archived and restored, and rows follow their ads."""

import re

import pytest

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job
from adreel.records import Records
from tests.factories import NOW, make_session, make_take, save_job
from tests.storyboard.conftest import Visitor
from tests.storyboard.test_in_chromium import CHROMIUM, page

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Locator, Page, expect

__all__ = ["page"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


def url(visitor: Visitor, path: str = "/") -> str:
    return str(visitor.client.base_url.join(path))


def store_without_poster(records: Records, session_id: str) -> None:
    take = make_take(session_id=session_id)
    assert take.clip is not None
    take.clip.poster = None
    records.save_take(take)


def test_one_ad_is_found_among_300_filtered_archived_and_restored(
    visitor: Visitor, records: Records, page: Page
) -> None:
    for number in range(297):
        records.save_session(make_session(session_id=f"lamp-{number:03}", product_name=f"Lamp {number}"))
    records.save_session(make_session(session_id="dew", product_name="Dewdrop Serum"), campaign="spring")
    store_without_poster(records, "dew")
    records.save_session(make_session(session_id="dew-2", product_name="Dewdrop Mask"), campaign="spring")
    rows = page.locator(".ad-row")
    page.goto(url(visitor))
    expect(page.locator("#list-count")).to_have_text("300 ads")
    expect(rows).to_have_count(25)

    page.get_by_label("Search").fill("dewdrop")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Partial 1").click()
    expect(rows).to_have_count(1)
    expect(page.locator("#list-count")).to_contain_text("1 ad with “dewdrop”")
    page.go_back()
    expect(rows).to_have_count(2)
    expect(page.get_by_label("Search")).to_have_value("dewdrop")
    page.go_forward()
    expect(page).to_have_url(re.compile("q=dewdrop&state=partial"))
    page.get_by_role("link", name="Ads of campaign spring").click()
    expect(rows).to_have_count(2)

    page.evaluate("window.isTheSamePage = true")
    page.get_by_role("button", name="Archive Dewdrop Serum").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    expect(page.locator("#list-notice")).to_contain_text("Dewdrop Serum is archived.")
    assert page.evaluate("window.isTheSamePage")
    assert records.session("dew").archived_at is not None

    page.get_by_role("link", name="Archived 1").click()
    page.get_by_role("button", name="Restore Dewdrop Serum").click()
    expect(page.locator("#list-notice")).to_contain_text("Dewdrop Serum is in the list again.")
    page.get_by_role("link", name="Show all ads").click()
    expect(page.locator("#list-count")).to_have_text("300 ads")
    assert records.session("dew").archived_at is None


def top(row: Locator) -> float:
    box = row.bounding_box()
    assert box is not None
    return box["y"]


def test_a_row_follows_its_ad_and_neither_focus_nor_scroll_moves(
    visitor: Visitor, records: Records, page: Page
) -> None:
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
    records.save_take(make_take(AttemptState.ACCEPTED))
    for number in range(20):
        records.save_session(make_session(session_id=f"lamp-{number}"))
    page.set_viewport_size({"width": 900, "height": 500})
    page.goto(url(visitor))
    expect(page.locator("#ad-ad")).to_contain_text("Generating")
    page.evaluate("window.isTheSamePage = true")
    page.locator("#open-ad").focus()
    row = page.locator("#ad-ad")
    before = top(row)
    records.save_session(make_session(session_id="newer"))
    store_without_poster(records, "ad")
    expect(row).to_contain_text("Partial")
    expect(page.locator("#ad-newer")).to_have_count(1)
    expect(page.locator("#open-ad")).to_be_focused()
    assert abs(top(row) - before) < 1
    assert page.evaluate("window.isTheSamePage")
    times = page.locator("#ad-ad time")
    assert times.get_attribute("title") == "23 Nov 2026, 12:00 UTC"
