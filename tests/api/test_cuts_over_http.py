"""Finished ads over HTTP on a real Prefect server: asked for, followed, listed, downloaded. The test is the worker."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.client import ApiError, Client
from adreel.flows.cut_ad import cut_ad
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.storage import Storage
from tests.api.serving import served
from tests.cut.stored_ads import FRAMES, store_ad, store_clip


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    records = Records(Storage(str(tmp_path / "outputs")))
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK, Scenario.PROBLEM])
    return records


@pytest.fixture(scope="module")
def deployed(prefect_server: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(cut_ad), "cut-ad")


@pytest.fixture
def client(prefect: str, deployed: None, records: Records) -> Iterator[Client]:
    with served(prefect=prefect) as http, Client(str(http.base_url)) as client:
        yield client


def work(job_id: str) -> None:
    """Carry a run out, as a worker would."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(job_id))
    run_flow(cut_ad, flow_run=run, parameters=run.parameters, return_type="state")


def test_an_ad_is_made_once_followed_listed_and_downloaded(client: Client, records: Records, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="has no clip of solution, cta") as missing:
        client.cut("ad")
    assert (missing.value.status, missing.value.problem["type"]) == (409, "urn:adreel:problem:sceneMissing")
    store_clip(records, tmp_path, Scenario.SOLUTION, narration="It glows")
    store_clip(records, tmp_path, Scenario.CTA)

    started = client.cut("ad", ["16:9"], idempotency_key="k1")
    assert started.job_id
    waiting = client.status(started.job_id)
    assert (waiting.overall_status, waiting.scenes, waiting.cut and waiting.cut.progress) == (State.GENERATING, [], 0)
    work(started.job_id)
    ended = client.wait(started.job_id)
    assert (ended.overall_status, ended.cut and ended.cut.progress) == (State.COMPLETED, 100)

    [cut] = client.cuts("ad").cuts
    [file] = cut.files
    assert (cut.state, file.format, file.frames) == ("current", "16:9", FRAMES)
    assert client.download(file.url, tmp_path / "ad.mp4").stat().st_size == file.size
    assert "It glows" in client.download(file.captions_url or "", tmp_path / "ad.srt").read_text()
    made = client.cut("ad", ["16:9"])
    assert (made.job_id, made.cut) == (None, cut)
    assert client.cut("ad", ["16:9"], idempotency_key="k1") == started

    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", minute=1, seconds=0.4)
    assert [each.state for each in client.cuts("ad").cuts] == ["stale"]
    assert client.cut("ad", ["16:9"]).job_id


def test_a_failed_ad_says_why_and_a_cancelled_one_has_ended(client: Client, records: Records, tmp_path: Path) -> None:
    started = client.cut("ad", allow_missing=True)
    assert started.job_id
    take = records.takes("ad", Scenario.HOOK)[0]
    assert take.clip
    records.storage.remove(take.clip.file)
    work(started.job_id)
    failed = client.status(started.job_id)
    assert failed.cut
    assert failed.overall_status == State.FAILED
    assert take.clip.file in (failed.cut.error or "")
    assert "encountered an exception" not in (failed.cut.error or "")

    other = client.cut("ad", ["1:1"], allow_missing=True)
    assert other.job_id
    client.cancel(other.job_id)
    assert client.status(other.job_id).overall_status == State.CANCELLED
    with pytest.raises(ApiError) as again:
        client.cancel(other.job_id)
    assert again.value.status == 409


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"preset": "cinema"}, "preset"),
        ({"preset": "reels", "formats": ["16:9"]}, "formats"),
        ({"formats": ["21:9"]}, "formats.0"),
    ],
    ids=["unknown preset", "a format of another preset", "unknown format"],
)
def test_wrong_options_are_named_and_start_nothing(client: Client, options: dict[str, object], field: str) -> None:
    with pytest.raises(ApiError) as wrong:
        client.cut("ad", allow_missing=True, **options)  # type: ignore[arg-type]
    assert (wrong.value.status, wrong.value.problem["errors"][0]["field"]) == (422, field)


def test_an_unknown_session_has_no_ads(client: Client) -> None:
    for ask in (client.cut, client.cuts):
        with pytest.raises(ApiError, match="no session 'nobody'") as unknown:
            ask("nobody")
        assert unknown.value.status == 404
