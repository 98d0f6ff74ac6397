"""What the player of an ad's page is given to play, the page with the players, and the menu of downloads."""

import json
from pathlib import Path
from typing import Any

from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.cut.stored_ads import SECONDS, store_ad, store_clip, store_cut
from tests.storyboard.conftest import Visitor
from tests.storyboard.stories import stored

AD = "/sessions/ad"


def playlist(visitor: Visitor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(visitor.read(AD).by_id("play-ad")["data-playlist"])
    return found


def test_without_a_clip_nothing_offers_to_play(visitor: Visitor) -> None:
    assert not [each for each in visitor.read(AD).all("a") if each.get("id") == "play-ad"]
    assert "There is no clip to play yet." in visitor.read(f"{AD}/play").text
    assert visitor.client.get("/sessions/nothing/play").status_code == 404


def test_the_stored_takes_are_played_and_the_missing_clip_is_named(visitor: Visitor, records: Records) -> None:
    older, newer = stored(records, Scenario.HOOK), stored(records, Scenario.HOOK, "job-2", minute=1)
    assert older.clip
    assert newer.clip
    hook, problem = playlist(visitor)["scenes"][:2]
    assert [(each["number"], each["src"]) for each in hook["takes"]] == [
        (1, f"/outputs/{older.clip.file}"),
        (2, f"/outputs/{newer.clip.file}"),
    ]
    assert hook["current"] == newer.short_id
    assert problem == {"scenario": "problem", "takes": [], "current": None}

    page = visitor.read(visitor.read(AD).by_id("play-ad")["href"])
    assert [each["src"] for each in page.all("video")] == [f"/outputs/{newer.clip.file}"]
    assert page.text.count("This scene has no clip yet.") == 3


def test_a_finished_ad_is_played_by_chapters_until_it_is_out_of_date(
    visitor: Visitor, records: Records, tmp_path: Path
) -> None:
    store_ad(records, tmp_path, cut={"transition": {"kind": "fade", "seconds": 0.2}})
    cut = store_cut(records, tmp_path)
    ad = playlist(visitor)["ad"]
    assert ad["src"] == f"/outputs/{cut.files[0].file}"
    lengths = [SECONDS[scenario] - 0.2 for scenario in Scenario]
    starts = [round(sum(lengths[:number]), 2) for number in range(4)]
    assert ad["chapters"] == [
        {"scenario": scenario, "start": start} for scenario, start in zip(Scenario, starts, strict=True)
    ]
    assert visitor.read(f"{AD}/play").all("video")[0]["src"] == ad["src"]

    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", minute=1, seconds=0.4)
    assert playlist(visitor)["ad"] is None


def test_the_menu_offers_each_file_that_there_is(visitor: Visitor, records: Records, tmp_path: Path) -> None:
    stored(records, Scenario.HOOK)
    stored(records, Scenario.CTA)
    page = visitor.read(AD)
    assert "Clips: hook and call to action (ZIP)" in page.text
    assert page.by_id("download-clips")["href"] == "/api/sessions/ad/clips.zip?allow_missing=true"

    store_ad(records, tmp_path)
    cuts = [store_cut(records, tmp_path, shape) for shape in ("16:9", "9:16")]
    page = visitor.read(AD)
    assert "The four clips (ZIP) 0.1 MB" in page.text
    links = [each["href"] for each in page.all("a")]
    for file in [cut.files[0] for cut in cuts]:
        assert links.index(f"/outputs/{file.file}?download=true") < links.index(page.by_id("download-clips")["href"])
        assert f"/outputs/{file.captions}?download=true" in links
    assert visitor.client.get(page.by_id("download-clips")["href"]).headers["Content-Type"] == "application/zip"
