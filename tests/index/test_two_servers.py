"""Two API servers on one storage, each with an index of its own: what changes through one shows on the other."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adreel.models.scenarios import Scenario
from adreel.models.takes import Job
from adreel.records import Records
from tests.api.serving import NOWHERE, served
from tests.api.stack import free_port, process, until_answered
from tests.factories import NOW, make_session, make_take, save_job, session_data

PATIENCE = 60.0
"""Changes show within 5 s. A busy machine gets more time, and a change that never shows still fails."""


@pytest.fixture
def storage_url(records: Records) -> str:
    """Give the storage a session with two takes of a scene."""
    records.save_session(make_session())
    for number in range(2):
        save_job(records, Job(job_id=f"job-{number}", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
        records.save_take(make_take(job_id=f"job-{number}", minute=number))
    return records.storage.root


@pytest.fixture
def here(storage_url: str) -> Iterator[httpx.Client]:
    with served(ADREEL_STORAGE=storage_url) as client:
        yield client


@pytest.fixture
def there(storage_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """Run a server that shares nothing but the storage."""
    port, log = free_port(), tmp_path / "serve.log"
    env = {**os.environ, "ADREEL_STORAGE": storage_url, "XDG_CACHE_HOME": str(tmp_path / "other-cache")}
    env["PREFECT_API_URL"] = NOWHERE
    with process("adreel", "serve", "--port", str(port), log=log, env=env):
        until_answered(f"http://127.0.0.1:{port}/healthz", log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the change does not show"
        time.sleep(0.1)


@pytest.mark.slow
def test_what_changes_through_one_server_shows_on_the_other(here: httpx.Client, there: httpx.Client) -> None:
    def listed(client: httpx.Client) -> dict[str, Any]:
        page = client.get("/api/sessions").json()
        return {session["session_id"]: session for session in page["sessions"]}

    for one, other, name in ((here, there, "made-here"), (there, here, "made-there")):
        until(lambda other=other: "ad" in listed(other))  # type: ignore[misc]
        assert one.post("/api/sessions", json=session_data(session_id=name)).status_code == 201
        assert name in listed(one), "a change shows at once where it was made"
        until(lambda other=other, name=name: name in listed(other))  # type: ignore[misc]

    def shown(client: httpx.Client) -> str:
        [video] = listed(client)["ad"]["scene_videos"]
        return str(video["take"])

    assert shown(here) == "job-1"
    path = "/api/sessions/ad/scenes/hook/current"
    assert there.put(path, json={"take": "job-0"}).status_code == 200
    until(lambda: shown(here) == "job-0")
    assert here.put(path, json={"take": "job-1"}).status_code == 200
    until(lambda: shown(there) == "job-1")
