"""The journeys of a marketer and of a guest in a browser that runs no script."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.cut.stored_ads import store_ad
from tests.factories import write_image
from tests.storyboard.conftest import Visitor
from tests.storyboard.test_in_chromium import CHROMIUM, PATIENCE, address, records, sign_in_with_key
from tests.workers import until

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect, sync_playwright

__all__ = ["address", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


@pytest.fixture
def page() -> Iterator[Page]:
    """Open a window that runs no script."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def test_an_ad_is_written_bought_compared_and_downloaded(
    records: Records, runware: LocalRunware, address: str, page: Page, tmp_path: Path
) -> None:
    sign_in_with_key(page, f"{address}/new")
    page.get_by_label("Product", exact=True).fill("Dewdrop")
    page.get_by_label("Upload product photo").set_input_files(write_image(tmp_path / "dew.png"))
    page.get_by_text("Serums, creams and cosmetics").click()
    page.get_by_role("button", name="Write the scenes").click()
    expect(page.get_by_text("The scenes are written for skincare.")).to_be_visible()
    page.get_by_role("button", name="Create the ad").click()
    [session_id] = records.session_ids()

    Budgets(records).set("day", 10_000)
    page.reload()
    expect(page.get_by_role("button", name="Generate the 4 clips")).to_be_disabled()
    expect(page.get_by_text("today's budget has $0.01 left").first).to_be_visible()
    Budgets(records).remove("day")
    page.reload()
    page.get_by_role("button", name="Generate the 4 clips").click()
    wait_for(page, 4, records, session_id)

    page.locator("#hook-visual_description").fill("A moth circles the lamp")
    page.locator("#hook").get_by_role("button", name="Regenerate").click()
    wait_for(page, 5, records, session_id)
    page.get_by_text("2 takes").click()
    page.get_by_role("link", name="Compare two takes of Hook").click()
    expect(page.locator("video[controls]")).to_have_count(2)
    page.get_by_role("button", name="Use this one (take 1)").click()
    expect(page.get_by_text("Take 1 is now used.")).to_be_visible()

    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as saving:
        page.get_by_role("link", name="The four clips (ZIP)").click()
    saving.value.save_as(tmp_path / "clips.zip")
    with ZipFile(tmp_path / "clips.zip") as archive:
        assert [name.partition(".")[0] for name in archive.namelist()] == [
            f"dewdrop-{number}-{scenario}" for number, scenario in enumerate(Scenario, 1)
        ]
    page.get_by_role("link", name="Play the ad").click()
    expect(page.locator("video[controls]")).to_have_count(4)
    assert len(runware.ledger.entries) == 5


def test_an_ad_is_found_changed_archived_and_approved_by_a_guest(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path)
    home = str(visitor.client.base_url)
    page.goto(home)
    page.get_by_label("Search").fill("lamp")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Archive Lamp").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#list-notice")).to_contain_text("is in the list again")
    page.goto(f"{home}/sessions/ad")
    page.get_by_role("link", name="Edit the facts").click()
    page.get_by_label("Main benefit").fill("light")
    page.get_by_role("button", name="Save the facts").click()
    assert records.session("ad").main_benefit == "light"
    page.locator("#hook").get_by_text("Model, shape, images").click()
    page.locator("#hook").get_by_label("Upload first frame").set_input_files(write_image(tmp_path / "lamp.png"))
    page.locator("#hook").get_by_role("button", name="Save").click()
    expect(page.get_by_text("The next take will use this description.")).to_be_visible()
    assert (records.session("ad").scene(Scenario.HOOK).first_frame or "").endswith("#lamp.png")

    page.get_by_role("link", name="Share and comments").click()
    page.get_by_role("button", name="Make the link").click()
    page.goto(page.get_by_label("The link. Copy it now").input_value())
    page.get_by_label("Your name").fill("Anna")
    page.get_by_label("Your comment").fill("Too dark")
    page.get_by_label("At (minutes:seconds)").fill("0:06")
    page.get_by_role("button", name="Send the comment").click()
    expect(page.get_by_text("Your comment was sent")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    page.goto(f"{home}/sessions/ad")
    expect(page.locator("#shared")).to_contain_text("Approved")
    expect(page.locator("#shared")).to_contain_text("Too dark")


def wait_for(page: Page, clips: int, records: Records, session_id: str) -> None:
    """Wait for stored clips, and load the page anew."""

    def stored() -> bool:
        takes = records.takes_by_part(session_id).values()
        return sum(take.is_stored for of_scene in takes for take in of_scene) == clips

    until(stored, f"{clips} clips")
    page.reload()
    expect(page.locator("#ad-state")).to_contain_text("Completed")
