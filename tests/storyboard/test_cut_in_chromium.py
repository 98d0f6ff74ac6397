"""A person with a real browser makes the finished ad, watches it, changes a scene, makes it again, and saves it."""

from pathlib import Path

import pytest

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.factories import make_session
from tests.storyboard.test_in_chromium import CHROMIUM, address, page, records, sign_in_with_key

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["address", "page", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]
PLAYER = "#cut-player video >> visible=true"


def test_an_ad_is_made_watched_outdated_made_again_and_saved(
    records: Records, runware: LocalRunware, address: str, page: Page, tmp_path: Path
) -> None:
    records.save_session(make_session(seconds=1))
    sign_in_with_key(page, f"{address}/sessions/ad")
    page.get_by_role("button", name="Generate the 4 clips").click()
    page.get_by_role("button", name="Make the ad").click()
    expect(page.get_by_label("Progress of the finished ad")).to_be_visible()
    watch(page)
    first = page.locator(PLAYER).get_attribute("src")

    page.locator("#hook-visual_description").fill("A moth circles the lamp")
    page.locator("#hook").get_by_role("button", name="Regenerate").click()
    expect(page.get_by_text("Scenes have changed since this ad was made")).to_be_visible()
    page.get_by_role("button", name="Make it again").dblclick()
    expect(page.get_by_text("Scenes have changed")).to_have_count(0)
    page.wait_for_function("src => document.querySelector('#cut-player video').getAttribute('src') != src", arg=first)
    watch(page)

    page.get_by_text("Other formats").click()
    page.get_by_label("9:16").check()
    page.get_by_role("button", name="Make these").click()
    page.locator("#cut-player label", has_text="9:16").click()
    video = page.locator(PLAYER)
    expect(video).to_have_attribute("aria-label", "The ad, 9:16")
    with page.expect_download() as saving:
        page.locator("#cut-player").get_by_role("link", name="Download").locator("visible=true").click()
    saved = tmp_path / saving.value.suggested_filename
    saving.value.save_as(saved)
    newest = records.cuts("ad")[-1]
    assert saved.name == newest.files[0].file
    assert saved.stat().st_size == newest.files[0].size
    assert [entry.scenario for entry in runware.ledger.entries].count(Scenario.HOOK) == 2
    assert len(records.cuts("ad")) == 3


@pytest.fixture
def cuts_after_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADREEL_CUT")


def test_the_ad_of_a_job_appears_by_itself(
    records: Records, runware: LocalRunware, cuts_after_jobs: None, address: str, page: Page
) -> None:
    # Both tests have the same Prefect server: the same order would be the same run.
    records.save_session(make_session(session_id="by-itself", seconds=1))
    sign_in_with_key(page, f"{address}/sessions/by-itself")
    page.get_by_role("button", name="Generate the 4 clips").click()
    expect(page.get_by_role("progressbar")).to_have_count(4)
    page.evaluate("window.isTheSamePage = true")
    expect(page.locator(PLAYER)).to_have_count(1)
    watch(page)
    assert page.evaluate("window.isTheSamePage")
    assert page.get_by_role("button", name="Make the ad").count() == 0


def watch(page: Page) -> None:
    """Play the ad from its start to its end."""
    video = page.locator(PLAYER)
    video.evaluate("video => { video.muted = true; return video.play() }")
    page.wait_for_function("video => video.ended", arg=video.element_handle())
    assert video.evaluate("video => Math.abs(video.duration - 4) < 0.1")
