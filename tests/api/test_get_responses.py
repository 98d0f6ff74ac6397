"""HEAD for every GET, and which responses are compressed."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adreel.models.scenarios import Scenario
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from tests.api.serving import served
from tests.factories import make_session, make_take, write_image

CLIP = "ad_hook_0123abcd.mp4"
PATHS = [
    "/",
    "/new",
    "/sessions/ad",
    "/sessions/nothing",
    "/sign-in",
    "/static/storyboard.css",
    "/static/storyboard.js",
    f"/outputs/{CLIP}",
    "/outputs/ad_cta_0123abcd.mp4",
    "/api/sessions",
    "/api/sessions/ad",
    "/api/sessions/ad/cuts",
    "/api/sessions/ad/scenes/hook/takes",
    "/api/videos/status/job-1",
    "/api/models",
    "/api/voices",
    "/healthz",
    "/openapi.json",
]


@pytest.fixture
def api(records: Records) -> Iterator[httpx.Client]:
    """Serve a session whose job has ended, and a clip."""
    records.save_session(make_session())
    job = start_job(records, Settings(), "job-1", "ad")
    for scenario in Scenario:
        records.storage.remove(f"sessions/ad/takes/{scenario}/job-1.json")
        records.save_take(make_take(scenario=scenario))
    end_job(records, job)
    Storage("./outputs").write(CLIP, bytes(5000))
    with served() as client:
        yield client


def test_head_is_get_without_a_body(api: httpx.Client) -> None:
    for path in PATHS:
        got, head = api.get(path), api.head(path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers.get("Content-Type") == got.headers.get("Content-Type"), path
        if path not in {"/new", "/sessions/ad", "/sessions/nothing"}:
            # The tokens of forms and the ids of requests compress differently.
            assert head.headers.get("Content-Length") == got.headers.get("Content-Length"), path


def test_head_of_an_event_stream_ends_at_once(api: httpx.Client) -> None:
    answer = api.head("/api/videos/events/job-1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert api.head("/api/videos/events/nothing").status_code in {404, 503}


def test_head_changes_nothing_and_other_methods_stay_refused(api: httpx.Client, records: Records) -> None:
    before = records.session("ad")
    for path in ("/api/videos/generate-scenes", "/sessions/ad/scenes/hook", "/sign-out"):
        assert api.head(path).status_code == 405
    assert records.session("ad") == before


def test_pages_json_and_static_files_are_compressed(api: httpx.Client) -> None:
    for path in ("/sessions/ad", "/new", "/openapi.json", "/static/storyboard.css", "/static/storyboard.js"):
        answer = api.get(path, headers={"Accept-Encoding": "gzip"})
        plain = api.get(path, headers={"Accept-Encoding": "identity"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert int(answer.headers["Content-Length"]) < len(plain.content) / 2
        assert "Content-Encoding" not in plain.headers


def test_clips_images_and_events_are_not_compressed(api: httpx.Client, tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png").read_bytes()
    stored = api.post("/api/sessions/ad/inputs", content=image, headers={"Content-Type": "image/png"}).json()
    for path in (f"/outputs/{CLIP}", stored["url"], "/api/videos/events/job-1"):
        answer = api.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert "Content-Encoding" not in answer.headers
