"""A storage that hangs: requests that need it end with 503, and other requests are not affected."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import httpx
import pytest

from adreel.orchestration import thread_pools as threads
from adreel.records import Records
from adreel.storage import Storage
from adreel.web.routes import health
from tests.api.raw import ask_at_once, until
from tests.api.serving import KEY, served
from tests.api.test_security import every_route
from tests.factories import make_session

T = TypeVar("T")
CLIP = "ad_hook_0123abcd.mp4"


class DeadDisk:
    """Makes calls for some files hang beyond all deadlines of the storage, as a kernel that waits for NFS does."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._back = threading.Event()

    def come_back(self) -> None:
        """Release all calls."""
        self._back.set()

    def hanging(self, call: Callable[..., T]) -> Callable[..., T]:
        """Return a method of the storage that hangs for the files."""

        def hang(storage: Storage, path: str, *arguments: object, **settings: object) -> T:
            if path in self.paths:
                self._back.wait()
            return call(storage, path, *arguments, **settings)

        return hang


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadDisk]:
    disk = DeadDisk()
    monkeypatch.setattr(Storage, "read", disk.hanging(Storage.read))
    monkeypatch.setattr(Storage, "open", disk.hanging(Storage.open))
    yield disk
    # Abandoned threads would hang until the end of the tests.
    disk.come_back()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadlines, with the same numbers of threads."""
    for name in ("RECORDS", "CLIPS", "PROBE"):
        monkeypatch.setattr(threads, name, replace(getattr(threads, name), seconds=1))
    monkeypatch.setattr("adreel.web.routes.outputs.CLIPS", threads.CLIPS)
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


def test_clips_that_hang_hold_up_clips_alone(guarded: httpx.Client, disk: DeadDisk) -> None:
    disk.paths.add(CLIP)
    address = str(guarded.base_url).rstrip("/")
    key = {"Authorization": f"Bearer {KEY}"}
    assert set(ask_at_once(address, [f"/outputs/{CLIP}"] * (threads.CLIPS.threads + 10), key)) == {503}
    assert guarded.get("/api/sessions/well").status_code == 200
    assert guarded.get("/sessions/well").status_code == 200
    assert guarded.get("/healthz").status_code == 200
    assert guarded.post("/sign-in", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_records_that_hang_end_in_time_and_the_liveness_probe_tells(guarded: httpx.Client, disk: DeadDisk) -> None:
    disk.paths.add("sessions/ad/session.json")
    address = str(guarded.base_url).rstrip("/")
    key = {"Authorization": f"Bearer {KEY}"}
    assert guarded.get("/healthz").status_code == 200
    assert set(ask_at_once(address, ["/api/sessions/ad"] * (threads.RECORDS.threads + 10), key)) == {503}
    assert guarded.post("/sign-in", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert guarded.get("/metrics").status_code == 200
    until(lambda: guarded.get("/healthz").status_code == 503, "the liveness probe does not notice")
    disk.come_back()
    until(lambda: guarded.get("/healthz").status_code == 200, "the liveness probe does not recover")
    until(lambda: guarded.get("/api/sessions/well").status_code == 200, "the threads do not come back")


class DeadFile(io.RawIOBase):
    """A file that opens and hangs each read."""

    def __init__(self, back: threading.Event) -> None:
        self._back = back

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return 1_000_000 if whence == 2 else offset

    def tell(self) -> int:
        return 0

    def readinto(self, _buffer: object) -> int:
        self._back.wait()
        return 0


def test_a_clip_that_hangs_midway_ends_and_holds_up_nobody(
    guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = threading.Event()
    monkeypatch.setattr(Storage, "open", lambda *_: io.BufferedReader(DeadFile(back)))
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            guarded.get(f"/outputs/{CLIP}")
        # close() waits for the running read, so the event loop must not call it.
        assert guarded.get("/healthz", timeout=10).status_code == 200
    finally:
        back.set()


def test_no_request_uses_the_threads_that_everything_shares(
    guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_settings: object) -> None:
        raise AssertionError("a call went to the threads that every kind of call shares")

    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
    # Static files are read from the local disk, and nothing else uses the shared threads.
    for method, path in [route for route in every_route() if not route[1].startswith("/static/")]:
        guarded.headers["Sec-Fetch-Site"] = "same-origin"
        answer = guarded.request(method, path, json={})
        assert answer.status_code != 500, (method, path, answer.text)
