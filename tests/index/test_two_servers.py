"""Two API servers and a worker on one storage, each server with an index of its own: what changes shows on both."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adreel.models.scenarios import Scenario
from adreel.models.takes import Job
from adreel.records import Records
from adreel.storage import Storage
from tests.api.serving import NOWHERE, served
from tests.api.stack import free_port, process, until_answered
from tests.factories import NOW, make_session, make_take, save_job, session_data
from tests.storage.servers import KEY, S3Server

pytestmark = pytest.mark.slow

PATIENCE = 60.0
"""Changes show within 5 s. A busy machine gets more time, and a change that never shows still fails."""
WORKER = """
import sys
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.settings import Settings
records = Records.of(Settings.load())
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "start":
        job = start_job(records, Settings.load(), "of-a-worker", "ad", scenarios=[Scenario.HOOK])
    else:
        end_job(records, job)
    print("recorded", flush=True)
"""


@pytest.fixture(params=["local disk", "S3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a storage of each kind a session with two takes of a scene."""
    url = str(tmp_path / "ads")
    if request.param == "S3":
        s3: S3Server = request.getfixturevalue("s3")
        url = f"{s3.bucket()}/ads"
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY["key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY["secret"])
    records = Records(Storage(url))
    records.save_session(make_session())
    for number in range(2):
        save_job(records, Job(job_id=f"job-{number}", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
        records.save_take(make_take(job_id=f"job-{number}", minute=number))
    monkeypatch.setenv("ADREEL_STORAGE", url)
    return url


@pytest.fixture
def here(storage_url: str) -> Iterator[httpx.Client]:
    with served(ADREEL_STORAGE=storage_url) as client:
        yield client


@pytest.fixture
def there(storage_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """Run a server that shares nothing but the storage."""
    port, log = free_port(), tmp_path / "serve.log"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "other-cache"), "PREFECT_API_URL": NOWHERE}
    with process("adreel", "serve", "--port", str(port), log=log, env=env):
        until_answered(f"http://127.0.0.1:{port}/healthz", log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client


@contextmanager
def worker() -> Iterator[Callable[[str], None]]:
    """Run a process that records jobs, and yield how to have it record something."""
    with subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:

        def tell(word: str) -> None:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(f"{word}\n".encode())
            running.stdin.flush()
            assert running.stdout.readline() == b"recorded\n"

        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            yield tell
        finally:
            running.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a change shows, and print how long it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + PATIENCE, f"{what} does not show"
        time.sleep(0.1)
    print(f"{what} shows after {time.monotonic() - begun:.1f} s")  # noqa: T201 - `pytest -s` shows it


def listed(client: httpx.Client) -> dict[str, Any]:
    page = client.get("/api/sessions").raise_for_status().json()
    return {session["session_id"]: session for session in page["sessions"]}


def test_what_a_server_or_a_worker_changes_shows_on_each_server(here: httpx.Client, there: httpx.Client) -> None:
    for one, other, name in ((here, there, "made-here"), (there, here, "made-there")):
        until(lambda other=other: "ad" in listed(other), "the index")  # type: ignore[misc]
        assert one.post("/api/sessions", json=session_data(session_id=name)).status_code == 201
        assert name in listed(one), "a change shows at once where it was made"
        until(lambda other=other, name=name: name in listed(other), f"the session {name}")  # type: ignore[misc]
        assert name in other.get("/").text

    def shown(client: httpx.Client) -> str:
        [video] = listed(client)["ad"]["scene_videos"]
        return str(video["take"])

    assert shown(here) == "job-1"
    path = "/api/sessions/ad/scenes/hook/current"
    assert there.put(path, json={"take": "job-0"}).status_code == 200
    until(lambda: shown(here) == "job-0", "a choice there")
    assert here.put(path, json={"take": "job-1"}).status_code == 200
    until(lambda: shown(there) == "job-1", "a choice here")

    def state(client: httpx.Client) -> str:
        return str(listed(client).get("ad", {}).get("state"))

    with worker() as tell:
        for client in (here, there):
            assert state(client) == "partial"
        tell("start")
        for client in (here, there):
            until(lambda client=client: state(client) == "generating", "the start of a job")  # type: ignore[misc]
            assert "ad" in client.get("/?state=generating").text
        tell("end")
        for client in (here, there):
            until(lambda client=client: state(client) != "generating", "the end of a job")  # type: ignore[misc]
