"""An ad on its stage in a real browser: its takes as one film, its finished file, keys, and clips that are gone."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.cut.stored_ads import store_ad, store_clip, store_cut
from tests.factories import make_session, write_film
from tests.storyboard.conftest import Visitor
from tests.storyboard.test_in_chromium import CHROMIUM, address, page, records, sign_in_with_key

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

__all__ = ["address", "page", "records"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


def open_stage(visitor: Visitor, page: Page) -> None:
    page.goto(str(visitor.client.base_url.join("/sessions/ad")))
    play_and_note(page)


def play_and_note(page: Page) -> None:
    """Play the ad, and note each scene that is played and each moment at which two clips sound."""
    page.evaluate(
        """() => {
            const stage = document.getElementById("player");
            window.seen = [];
            window.together = 0;
            new MutationObserver(() => {
                const { scene, state } = stage.dataset;
                if (state === "playing" && window.seen.at(-1) !== scene) window.seen.push(scene);
            }).observe(stage, { attributes: true });
            document.addEventListener("playing", () => {
                const playing = [...document.querySelectorAll("video")].filter((video) => !video.paused);
                if (playing.length > 1) window.together += 1;
            }, true);
        }"""
    )
    page.get_by_role("link", name="Play the ad").click()


def expect_end(page: Page) -> None:
    expect(page.locator("#player")).to_have_attribute("data-state", "ended")


def pause_in(page: Page, scenario: str) -> None:
    """Pause at the start of a scene."""
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#player")).to_have_attribute("data-state", "paused")
    page.locator(f"#player .chapters li:nth-child({list(Scenario).index(Scenario(scenario)) + 1}) button").click()
    expect(page.locator("#player")).to_have_attribute("data-scene", scenario)


def test_the_takes_are_one_film_and_escape_returns_to_the_button(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path)
    open_stage(visitor, page)
    expect_end(page)
    assert page.evaluate("window.seen") == [scenario.value for scenario in Scenario]
    assert page.evaluate("window.together") == 0
    expect(page.locator("#player")).to_contain_text("0:02 / 0:02")
    expect(page.get_by_role("button", name="Play again")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    expect(page.get_by_role("link", name="Play the ad")).to_be_focused()


def test_keys_change_the_scene_and_its_take(visitor: Visitor, records: Records, page: Page, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    older = records.takes("ad", Scenario.PROBLEM)[0]
    store_clip(records, tmp_path, Scenario.PROBLEM, job_id="job-2", minute=1, seconds=0.9)
    open_stage(visitor, page)
    pause_in(page, "problem")
    stage = page.locator("#player")
    for key, scene in (("ArrowRight", "solution"), ("ArrowLeft", "problem")):
        page.keyboard.press(key)
        expect(stage).to_have_attribute("data-scene", scene)
    expect(stage).to_contain_text("take 2 of 2")
    expect(page.get_by_role("button", name="Use this take")).to_be_hidden()
    page.keyboard.press("ArrowUp")
    expect(stage).to_contain_text("take 1 of 2")
    page.get_by_role("button", name="Use this take").click()
    expect(page.locator(".player-said")).to_have_text("Take 1 is now used.")
    expect(page.get_by_role("button", name="Use this take")).to_be_hidden()
    assert records.choices("ad").takes == {Scenario.PROBLEM: older.job_id}
    assert older.clip
    expect(page.locator("#problem-stage video")).to_have_attribute("src", f"/outputs/{older.clip.file}")

    # Out of sight, the stage leaves the keys to the page.
    page.evaluate("document.activeElement.blur(), scrollTo(0, document.body.scrollHeight)")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    expect(stage).to_contain_text("take 1 of 2")
    expect(stage).to_be_visible()


def test_what_cannot_be_played_is_named_and_skipped(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK, Scenario.SOLUTION, Scenario.CTA])
    lost = records.takes("ad", Scenario.SOLUTION)[0].clip
    assert lost
    records.storage.write(lost.file, b"not a film")
    open_stage(visitor, page)
    expect_end(page)
    assert page.evaluate("window.seen") == ["hook", "cta"]
    for name in ("Problem: no clip", "Solution: no clip"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    expect(page.locator(".player-said")).to_contain_text("Solution: no clip that can be played, skipped.")


def test_the_finished_ad_is_played_where_there_is_one(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path)
    cut = store_cut(records, tmp_path)
    records.storage.write(cut.files[0].file, write_film(tmp_path / "ad.mp4", cut.files[0].duration).read_bytes())
    open_stage(visitor, page)
    expect_end(page)
    assert page.evaluate("window.seen") == [scenario.value for scenario in Scenario]
    video = page.locator("#player video.is-shown")
    expect(video).to_have_attribute("src", f"/outputs/{cut.files[0].file}")
    page.get_by_role("button", name="Solution", exact=True).click()
    page.wait_for_function("() => document.querySelector('#player video.is-shown').currentTime >= 1.1")
    expect(page.get_by_role("button", name="Play the clips")).to_be_visible()


def test_an_ad_is_generated_played_changed_and_downloaded(
    records: Records, runware: LocalRunware, address: str, page: Page, tmp_path: Path
) -> None:
    records.save_session(make_session(session_id="played", product_name="GlowCap", seconds=1))
    sign_in_with_key(page, f"{address}/sessions/played")
    page.get_by_role("button", name="Generate the 4 clips").click()
    expect(page.locator("#ad-state")).to_contain_text("Completed")
    page.locator("#hook-visual_description").fill("A moth circles the lamp")
    page.locator("#hook").get_by_role("button", name="Regenerate").click()
    expect(page.locator("#hook-state")).to_contain_text("Take 2")
    expect(page.locator("#ad-state")).to_contain_text("Completed")

    play_and_note(page)
    expect_end(page)
    assert page.evaluate("window.seen") == [scenario.value for scenario in Scenario]
    for scene in ("solution", "problem", "hook"):
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#player")).to_have_attribute("data-scene", scene)
    page.keyboard.press("ArrowUp")
    expect(page.locator("#player")).to_contain_text("take 1 of 2")
    page.get_by_role("button", name="Use this take").click()
    expect(page.locator(".player-said")).to_have_text("Take 1 is now used.")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#hook-said")).to_contain_text("Take 1 is now used.")

    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as saving:
        page.get_by_role("link", name="The four clips (ZIP)").click()
    assert saving.value.suggested_filename == "glowcap-clips.zip"
    saving.value.save_as(tmp_path / "clips.zip")
    takes = {scenario: records.takes("played", scenario)[0] for scenario in Scenario}
    with ZipFile(tmp_path / "clips.zip") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"glowcap-{number}-{take.scenario}.mp4": records.storage.read(take.clip.file)
            for number, take in enumerate(takes.values(), 1)
            if take.clip
        }
    assert len(runware.ledger.entries) == 5
