"""Two takes in a real browser: played under one playhead, and one of them chosen."""

from pathlib import Path

import pytest

from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.cut.stored_ads import store_ad, store_clip
from tests.storyboard.conftest import Visitor
from tests.storyboard.test_in_chromium import CHROMIUM, page

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["page"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]
TOGETHER = """() => {
  const [first, second] = [...document.querySelectorAll("video")];
  return !first.paused && !second.paused && Math.min(first.currentTime, second.currentTime) > 1
    && Math.abs(first.currentTime - second.currentTime) < 0.3;
}"""


def test_two_takes_are_played_together_and_one_is_chosen(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path, scenarios=[])
    older = store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", seconds=20)
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-3", seconds=18, minute=1)
    page.goto(str(visitor.client.base_url.join("/sessions/ad")))
    page.get_by_text("2 takes").click()
    page.get_by_role("link", name="Compare two takes of Hook").click()
    videos = page.locator("video")
    expect(page.get_by_role("radio", name="A")).to_be_checked()
    assert videos.evaluate_all("videos => videos.map(video => video.controls)") == [False, False]

    page.get_by_role("button", name="Play both").click()
    page.wait_for_function(TOGETHER)
    # One that falls behind catches up.
    videos.nth(1).evaluate("video => { video.currentTime = 0 }")
    page.wait_for_function(TOGETHER)
    page.keyboard.press("b")
    assert videos.evaluate_all("videos => videos.map(video => video.muted)") == [True, False]
    expect(page.locator(".side-heard h2")).to_contain_text("B")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(TOGETHER)
    page.get_by_role("button", name="Pause").press("Space")
    times = videos.evaluate_all("videos => videos.map(video => video.currentTime)")
    assert times[0] == pytest.approx(times[1], abs=0.05)
    # The longer one plays to its end, and then both start anew.
    page.get_by_label("Position in both clips").fill("19.5")
    page.get_by_role("button", name="Play both").click()
    expect(page.get_by_role("button", name="Play both")).to_be_visible()
    assert videos.evaluate_all("videos => videos.map(video => Math.round(video.currentTime))") == [18, 20]
    page.keyboard.press("Space")
    page.wait_for_function(TOGETHER)

    page.get_by_role("button", name="Use this one (take 1)").click()
    expect(page.get_by_text("Take 1 is now used.")).to_be_visible()
    assert older.clip
    expect(page.locator("#hook-stage video")).to_have_attribute("src", f"/outputs/{older.clip.file}")


def test_takes_stand_side_by_side_or_on_a_phone_one_above_the_other(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK])
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", minute=1)
    page.goto(str(visitor.client.base_url.join("/sessions/ad/scenes/hook/compare")))
    for width, columns in ((1280, 2), (640, 2), (590, 1), (360, 1)):
        page.set_viewport_size({"width": width, "height": 800})
        lefts = page.locator(".side").evaluate_all("sides => sides.map(side => side.getBoundingClientRect().left)")
        assert len(set(lefts)) == columns
        assert page.evaluate("document.documentElement.scrollWidth") == width
