"""The finished ad on the page of a session, without script: made, followed, out of date, made again, downloaded."""

import asyncio
from pathlib import Path

import pytest

from adreel.cut.making import make_cut
from adreel.cut.planning import plan_cut
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import CUT_FAILED
from adreel.models.scenarios import Scenario
from adreel.models.takes import utc_now
from adreel.orchestration.runs import Run
from adreel.records import Records
from tests.cut.stored_ads import store_ad, store_clip
from tests.storyboard.conftest import AWAY, Orders, Visitor
from tests.storyboard.reading import PageReader

AD, CUT = "/sessions/ad", "/sessions/ad/cut"
JOB = "3097ff71-41eb-4f32-87bb-83b77b4d2311"


@pytest.fixture(autouse=True)
def cuts_after_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADREEL_CUT")


@pytest.fixture
def four_clips(visitor: Visitor, records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)


def make(records: Records, *formats: str, captions: bool = True) -> None:
    options = CutOptions.model_validate({"formats": formats, "captions": captions})
    asyncio.run(make_cut(records, plan_cut(records, "ad", options)))


def change_a_clip(records: Records, folder: Path) -> None:
    store_clip(records, folder, Scenario.HOOK, job_id="job-2", minute=1, seconds=0.4)


def tabs(page: PageReader) -> list[str]:
    return [each["value"] for each in page.all("input") if each.get("name") == "cut-format"]


def has_button(page: PageReader, name: str) -> bool:
    return any(name in form.buttons for form in page.forms)


def test_an_ad_needs_four_clips(visitor: Visitor, records: Records, tmp_path: Path, orders: Orders) -> None:
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK])
    assert not has_button(visitor.read(AD), "Make the ad")
    for scenario in list(Scenario)[1:]:
        store_clip(records, tmp_path, scenario)
    page = visitor.read(AD)
    form = page.form(CUT, "Make the ad")
    records.storage.remove("sessions/ad/takes/cta/job-1.json")
    assert "has no clip of cta" in visitor.press(form, "Make the ad", 409).text
    assert orders.parameters == []


@pytest.mark.usefixtures("four_clips")
def test_an_ad_is_ordered_once_followed_and_cancelled(visitor: Visitor, orders: Orders) -> None:
    for _ in range(2):
        page = visitor.press(visitor.read(AD).form(CUT, "Make the ad"), "Make the ad")
    assert orders.parameters == [{"session_id": "ad"}]
    [run] = orders.runs.values()
    assert page.by_id("jobs")["data-jobs"] == run.run_id
    assert "The ad: Waiting to start" in page.text
    assert not has_button(page, "Make the ad")

    orders.progress = 40, "Cut of ad: segment 2 of 4"
    page = visitor.read(f"{AD}?job={run.run_id}")
    assert "The ad: Rendering the scenes" in page.text
    assert [each["value"] for each in page.all("progress")] == ["40"]
    page = visitor.press(page.form(f"{AD}/jobs/{run.run_id}/cancel", "Cancel"), "Cancel")
    assert has_button(page, "Make the ad")


@pytest.mark.usefixtures("four_clips")
def test_a_failed_ad_says_why_and_can_be_made_again(visitor: Visitor, orders: Orders) -> None:
    visitor.press(visitor.read(AD).form(CUT, "Make the ad"), "Make the ad")
    [run] = orders.runs.values()
    orders.end(run.run_id, "Failed", "Flow run encountered an exception: CutFailed: the sound of hook can't be read")
    page = visitor.read(f"{AD}?job={run.run_id}")
    assert "The ad could not be made: the sound of hook can't be read" in page.text
    visitor.press(page.form(CUT, "Make the ad"), "Make the ad")
    assert len(orders.runs) == 2


@pytest.mark.usefixtures("four_clips")
def test_formats_are_chosen_and_shown_by_tab(visitor: Visitor, records: Records, orders: Orders) -> None:
    for form in [visitor.read(AD).form(CUT, "Make the ad")] * 2:
        visitor.press(form, "Make the ad", 200, **{"9:16": "yes", "1:1": "yes"})
    visitor.press(form, "Make the ad", 200, **{"9:16": "yes"})
    assert [each.get("formats") for each in orders.parameters] == [["9:16", "1:1"], ["9:16"]]

    make(records, "16:9")
    make(records, "9:16", "1:1")
    page = visitor.read(AD)
    assert sorted(tabs(page)) == ["16:9", "1:1", "9:16"]
    assert [each["name"] for each in page.all("input") if each.get("type") == "checkbox"] == ["4:5"]
    page = visitor.press(page.form(CUT, "Make these"), "Make these", 200, **{"16:9": "yes"})
    assert "This ad is made already" in page.text


@pytest.mark.usefixtures("four_clips")
def test_a_changed_clip_puts_the_ad_out_of_date_until_it_is_made_again(
    visitor: Visitor, records: Records, orders: Orders, tmp_path: Path
) -> None:
    make(records, "1:1", captions=False)
    page = visitor.read(AD)
    assert "Scenes have changed" not in page.text
    [video] = [each for each in page.all("video") if "_cut_" in each["src"]]
    assert visitor.client.get(video["poster"]).headers["Content-Type"] == "image/jpeg"
    [saved] = {each["href"] for each in page.all("a") if "download" in each and "_cut_" in each["href"]}
    answer = visitor.client.get(saved)
    assert (answer.status_code, answer.content[4:8]) == (200, b"ftyp")
    assert answer.headers["Content-Disposition"].startswith("attachment")

    change_a_clip(records, tmp_path)
    page = visitor.read(AD)
    assert "Scenes have changed since this ad was made" in page.text
    assert "1:1 out of date" in page.text
    page = visitor.press(page.form(CUT, "Make it again"), "Make it again")
    assert orders.parameters == [{"session_id": "ad", "formats": ["1:1"], "captions": False}]
    assert "Scenes have changed" not in page.text
    assert tabs(page) == ["1:1"]


@pytest.mark.usefixtures("four_clips")
def test_the_ad_at_the_end_of_a_job_is_followed_and_its_failure_is_told(
    visitor: Visitor, records: Records, orders: Orders, tmp_path: Path
) -> None:
    for scenario in Scenario:
        take = store_clip(records, tmp_path, scenario, job_id=JOB, minute=1)
        records.save_take(take.model_copy(update={"updated_at": utc_now()}))
    run = orders.runs["k"] = Run(JOB, {"session_id": "ad"}, {}, "Running", "", is_final=False)
    orders.progress = 70, "Cut of ad: 64x48"
    page = visitor.read(AD)
    assert "The ad: Joining the scenes, checking the file" in page.text
    assert "data-poll" in page.by_id("cut-state")
    assert not has_button(page, "Make the ad")
    orders.is_away = True
    assert AWAY not in visitor.read(AD).text
    orders.is_away = False

    orders.end(run.run_id, CUT_FAILED, "The clips are stored. No finished ad was made: a fade of 2 s does not fit")
    page = visitor.read(AD)
    assert "No finished ad was made: a fade of 2 s does not fit" in page.text
    assert "data-poll" not in page.by_id("cut-state")
    assert has_button(page, "Make the ad")


@pytest.mark.usefixtures("four_clips")
def test_a_broken_record_of_an_ad_hides_no_clips(visitor: Visitor, records: Records) -> None:
    records.storage.write("sessions/ad/cuts/0123abcd.json", b"{")
    page = visitor.read(AD)
    assert "A finished ad can't be read" in page.text
    assert len(page.all("video")) == 4


@pytest.mark.usefixtures("four_clips")
def test_the_list_shows_which_ads_are_finished(visitor: Visitor, records: Records) -> None:
    assert "Finished ad" not in visitor.read("/").text
    make(records)
    assert "Finished ad" in visitor.read("/").text
