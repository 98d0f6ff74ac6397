"""A storage that hangs: requests that need it end with 503, and the others are answered as ever."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from adreel.api import health, threads
from adreel.records import Records
from tests.api.raw import ask_at_once, until
from tests.api.serving import served
from tests.api.test_security import KEY, every_route
from tests.factories import make_session

CLIP = "ad_hook_0123abcd.mp4"


class Fifos:
    """Files that hang whoever opens them, as a dead network disk would."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: list[Path] = []

    def put(self, name: str) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._paths.append(path)

    def release(self) -> None:
        """Let everything go on that hangs at one, and take them away."""
        while self._paths:
            path = self._paths.pop()
            writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            path.unlink()
            os.close(writer)


@pytest.fixture
def fifos(records: Records) -> Iterator[Fifos]:
    fifos = Fifos(Path(records.storage.location("")))
    yield fifos
    # Threads that are left would hang for as long as the tests run.
    fifos.release()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadlines; the numbers of threads stay."""
    for name in ("RECORDS", "CLIPS", "PROBE"):
        monkeypatch.setattr(threads, name, replace(getattr(threads, name), seconds=1))
    monkeypatch.setattr("adreel.api.outputs.CLIPS", threads.CLIPS)
    monkeypatch.setattr(health, "PROBE", threads.PROBE)
    monkeypatch.setattr(health, "STUCK_SECONDS", 2.0)


@pytest.fixture
def guarded(records: Records, monkeypatch: pytest.MonkeyPatch, short: None) -> Iterator[httpx.Client]:
    records.save_session(make_session())
    records.save_session(make_session(session_id="well"))
    monkeypatch.setenv("ADREEL_API_KEYS", f"shop:{KEY}")
    with served() as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


def test_clips_that_hang_hold_up_clips_alone(guarded: httpx.Client, fifos: Fifos) -> None:
    fifos.put(CLIP)
    address = str(guarded.base_url).rstrip("/")
    key = {"Authorization": f"Bearer {KEY}"}
    assert set(ask_at_once(address, [f"/outputs/{CLIP}"] * (threads.CLIPS.threads + 10), key)) == {503}
    assert guarded.get("/api/sessions/well").status_code == 200
    assert guarded.get("/sessions/well").status_code == 200
    assert guarded.get("/healthz").status_code == 200
    assert guarded.post("/sign-in", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_records_that_hang_end_in_time_and_are_told_by_the_liveness_probe(guarded: httpx.Client, fifos: Fifos) -> None:
    fifos.put("sessions/ad/session.json")
    address = str(guarded.base_url).rstrip("/")
    key = {"Authorization": f"Bearer {KEY}"}
    assert guarded.get("/healthz").status_code == 200
    assert set(ask_at_once(address, ["/api/sessions/ad"] * (threads.RECORDS.threads + 10), key)) == {503}
    assert guarded.post("/sign-in", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert guarded.get("/metrics").status_code == 200
    until(lambda: guarded.get("/healthz").status_code == 503, "the liveness probe does not notice")
    fifos.release()
    until(lambda: guarded.get("/healthz").status_code == 200, "the liveness probe does not recover")
    until(lambda: guarded.get("/api/sessions/well").status_code == 200, "the threads do not come back")


def test_no_request_uses_the_threads_that_everything_shares(
    guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_settings: object) -> None:
        raise AssertionError("a call went to the threads that every kind of call shares")

    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
    for method, path in every_route():
        guarded.headers["Sec-Fetch-Site"] = "same-origin"
        answer = guarded.request(method, path, json={})
        assert answer.status_code != 500, (method, path, answer.text)
