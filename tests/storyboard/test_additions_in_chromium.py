"""A narrator, music and a still in a real browser, with all that stands behind the pages, by the provider's ledger."""

import pytest

from adreel.emulator import LocalRunware
from adreel.models.parts import VOICES
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.views import words_of
from tests.storyboard.test_in_chromium import CHROMIUM, address, page, records, sign_in

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["address", "page", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]

WORDS = "Do you read in the dark?"


def bought(runware: LocalRunware) -> list[str]:
    """Return what the provider has billed, by its task types, in their order."""
    return [entry.request["taskType"].removesuffix("Inference") for entry in runware.ledger.entries]


def test_a_marketer_has_an_ad_spoken_and_starts_a_clip_from_a_still(
    records: Records, runware: LocalRunware, address: str, page: Page
) -> None:
    sign_in(page, address)
    create_ad(page)
    page.get_by_role("button", name="Generate the ad").dblclick()
    expect(page.get_by_role("progressbar")).to_have_count(6)
    page.evaluate("window.isTheSamePage = true")
    expect(page.locator("#ad-state")).to_contain_text("Completed")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert sorted(bought(runware)) == ["audio", "audio", *["video"] * 4]
    play(page, "#voice-hook audio")
    play(page, "#music audio")
    # One sound plays at a time.
    assert page.locator("#voice-hook audio").evaluate("audio => audio.paused")

    page.locator("#hook-dialog_narration").fill("Awake again?")
    page.locator("#hook-save").click()
    expect(page.locator("#hook-voice")).to_contain_text("The words have changed since.")
    page.locator("#voice-hook").get_by_role("button", name="Speak it again").dblclick()
    expect(page.locator("#hook-voice")).to_contain_text("2 takes")
    expect(page.locator("#hook-voice")).not_to_contain_text("changed since")
    assert bought(runware)[6:] == ["audio"]
    assert [words_of(take) for take in records.takes("lamp", VOICES[Scenario.HOOK])] == [WORDS, "Awake again?"]

    page.locator("#still-hook").get_by_role("button", name="Buy a still").dblclick()
    page.get_by_role("button", name="Start the clip from it").click()
    expect(page.locator("#hook-said")).to_contain_text("The scene starts from still 1.")
    expect(page.locator("#still-hook")).to_contain_text("The clip starts from it")
    page.locator("#hook-regenerate").click()
    expect(page.locator("#hook-takes")).to_contain_text("2 takes")
    assert bought(runware)[7:] == ["image", "video"]
    assert runware.ledger.entries[-1].request["inputs"]["frameImages"]
    assert page.evaluate("window.isTheSamePage")


def create_ad(page: Page) -> None:
    page.get_by_role("main").get_by_role("link", name="New ad").click()
    page.get_by_label("Product", exact=True).fill("Lamp")
    page.get_by_text("Tone, website, id").click()
    page.get_by_label("Id", exact=True).fill("lamp")
    page.get_by_label("With a narrator").check()
    page.get_by_label("With music").check()
    for scenario in Scenario:
        page.locator(f"#{scenario}-visual_description").fill(f"a lamp in the {scenario}")
    page.locator("#hook-dialog_narration").fill(WORDS)
    page.get_by_role("button", name="Create the ad").click()
    expect(page.get_by_role("heading", name="Lamp", level=1)).to_be_visible()


def play(page: Page, audio: str) -> None:
    page.locator(audio).evaluate("audio => audio.play()")
    page.wait_for_function("audio => document.querySelector(audio).currentTime > 0.2", arg=audio)
