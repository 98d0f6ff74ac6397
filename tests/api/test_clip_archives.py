"""The four clips of an ad as one ZIP file over HTTP."""

import io
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import httpx
import pytest

from adreel.client import ApiError, Client
from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.cut.stored_ads import store_ad, store_clip

URL = "/api/sessions/ad/clips.zip"


def contents(records: Records, names: dict[Scenario, str]) -> dict[str, bytes]:
    """Return what the archive should hold: the bytes of the newest takes, as they are in the storage."""
    clips = {scenario: records.takes("ad", scenario)[-1].clip for scenario in names}
    return {name: records.storage.read(clips[scenario].file) for scenario, name in names.items()}  # type: ignore[union-attr]


def test_the_current_clips_come_as_one_zip_file(api: httpx.Client, records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, product_name="Glow Cap, für Zwei!")
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", minute=1, seconds=0.4)
    answer = api.get(URL, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="glow-cap-fur-zwei-clips.zip"'
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {each.compress_type for each in archive.infolist()} == {ZIP_STORED}
        found = {name: archive.read(name) for name in archive.namelist()}
    names = {each: f"glow-cap-fur-zwei-{number}-{each}.mp4" for number, each in enumerate(Scenario, 1)}
    assert list(found) == list(names.values())
    assert found == contents(records, names)

    head = api.head(URL)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]


def test_a_missing_clip_is_named_and_the_others_come_if_that_is_asked_for(
    api: httpx.Client, records: Records, tmp_path: Path
) -> None:
    assert api.get(URL).status_code == 404
    store_ad(records, tmp_path, scenarios=[Scenario.PROBLEM, Scenario.CTA], product_name="燈")
    with Client(str(api.base_url)) as client:
        with pytest.raises(ApiError, match="has no clip of hook, solution: generate it first, or ask with") as caught:
            client.download_clips("ad", tmp_path / "clips.zip")
        assert caught.value.status == 409
        file = client.download_clips("ad", tmp_path / "clips.zip", allow_missing=True)
    with ZipFile(file) as archive:
        assert archive.namelist() == ["ad-2-problem.mp4", "ad-4-cta.mp4"]

    lost = records.takes("ad", Scenario.CTA)[0].clip
    assert lost
    records.storage.remove(lost.file)
    answer = api.get(URL, params={"allow_missing": True})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert f"the clip of cta, {lost.file}, is gone" in answer.json()["detail"]


def test_without_any_clip_there_is_no_archive(api: httpx.Client, records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, scenarios=[])
    for query in ({}, {"allow_missing": True}):
        assert api.get(URL, params=query).status_code == 409
