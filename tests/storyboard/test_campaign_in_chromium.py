"""A person starts a campaign of twelve ads from a file, follows it, and continues it after a failure."""

from pathlib import Path

import pytest
import yaml

from adreel.emulator import LocalRunware
from adreel.records import Records
from tests.factories import scene_data
from tests.storyboard.test_in_chromium import CHROMIUM, PATIENCE, address, page, records, sign_in_with_key

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["address", "page", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]

CAMPAIGN = {
    "products": [{"session_id": each, "product_name": each.title()} for each in ("lamp", "fan", "mug")],
    "variants": [
        {"variant": each, "scene_descriptions": [scene_data("hook", duration=1, visual_description="{product_name}")]}
        for each in ("day", "night", "office", "train")
    ],
}


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a failed clip be ordered again by another run only."""
    monkeypatch.setenv("ADREEL_ATTEMPTS", "1")


@pytest.mark.usefixtures("one_attempt")
def test_a_campaign_of_twelve_ads_is_started_followed_and_continued(
    records: Records, runware: LocalRunware, address: str, page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "spring.yaml"
    file.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    runware.inject("providerTimeoutx1")
    sign_in_with_key(page, f"{address}/campaigns")
    page.get_by_role("link", name="New campaign").click()
    page.get_by_label("A YAML or JSON file").set_input_files(file)
    page.get_by_role("button", name="Check and show the price").click()
    expect(page.get_by_text("12 ads to start")).to_be_visible()
    assert not runware.ledger.entries
    page.get_by_role("button", name="Generate 12 ads").click()

    # The page follows the ads by itself.
    expect(page.get_by_role("status")).to_contain_text("12 of 12 ads have ended", timeout=3 * PATIENCE)
    expect(page.locator("#ads .ad-card")).to_have_count(12)
    expect(page.locator("#ads .ad-card .chip").filter(has_text="Failed")).to_have_count(1)
    failed = page.locator("#ads li").first
    expect(failed.locator(".chip-failed")).to_be_visible()
    expect(failed.locator("img")).to_have_count(3)
    page.wait_for_function("() => [...document.querySelectorAll('#ads img')].some(image => image.naturalWidth > 0)")
    page.get_by_role("link", name="Failed 1").click()
    expect(page.locator("#ads .ad-card")).to_have_count(1)
    expect(page.locator("#ads .ad-error")).to_be_visible()

    page.get_by_role("link", name="Continue the campaign").click()
    expect(page.get_by_text("1 clip of started ads to buy again")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("link", name="Completed 12")).to_be_visible(timeout=3 * PATIENCE)
    expect(page.get_by_role("link", name="Continue the campaign")).to_have_count(0)
    page.locator("#ads .ad-card").first.click()
    expect(page.locator("#hook-stage video")).to_be_visible()
    assert len(runware.ledger.entries) == 13, "the failed clip was ordered again, and no other"
    campaign = records.campaign("spring")
    assert campaign is not None
    assert campaign.created_by == "studio"
