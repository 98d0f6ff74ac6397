"""The thread of a server that keeps its index current."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adreel.errors import StorageUnavailable
from adreel.index import IndexKeeper, SessionIndex, SessionQuery
from adreel.records import Records, changes
from adreel.storage import Storage
from tests.factories import make_session, make_take

PATIENCE = 30.0


@contextmanager
def kept(records: Records, folder: Path) -> Iterator[SessionIndex]:
    index = SessionIndex(records, folder)
    keeper = IndexKeeper(index)
    keeper.start()
    try:
        yield index
    finally:
        keeper.stop()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ids(index: SessionIndex) -> list[str]:
    return [session.session_id for session in index.page(SessionQuery()).sessions]


def test_a_small_storage_is_listed_at_the_first_request(records: Records, tmp_path: Path) -> None:
    records.save_session(make_session())
    with kept(records, tmp_path / "index") as index:
        page = index.page(SessionQuery())
        assert ([session.session_id for session in page.sessions], page.notice) == (["ad"], None)
        records.save_session(make_session(session_id="new"))
        assert ids(index) == ["new", "ad"], "a change of this process shows at once"


def test_a_list_that_is_being_built_answers_at_once_and_says_so(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adreel.index.session_index.BUILD_WAIT_SECONDS", 0)
    records.save_session(make_session())
    may_read, read = threading.Event(), Records.session

    def wait(self: Records, session_id: str) -> object:
        may_read.wait(PATIENCE)
        return read(self, session_id)

    monkeypatch.setattr(Records, "session", wait)
    with kept(records, tmp_path / "index") as index:
        until(lambda: bool(index.database.fact("total")))
        page = index.page(SessionQuery())
        assert (page.sessions, page.notice) == ([], "This list is being built: 0 of 1 sessions so far.")
        may_read.set()
        until(lambda: index.is_complete)
        assert ids(index) == ["ad"]


def test_a_change_of_another_process_shows_through_the_feed(records: Records, tmp_path: Path) -> None:
    records.save_session(make_session())
    with kept(records, tmp_path / "index") as index:
        until(lambda: index.is_complete)
        # Without its listeners, this process is like another one.
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(changes, "_listeners", {})
            other = Records(Storage(records.storage.root), announces=True)
            other.save_take(make_take())
            other.save_session(make_session(session_id="new"))
        until(lambda: ids(index) == ["new", "ad"])
        assert index.page(SessionQuery(state="partial")).total == 1


def test_an_index_outlives_an_outage_and_a_lost_file(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.save_session(make_session())
    with kept(records, tmp_path / "index") as index:
        until(lambda: index.is_complete)
        with monkeypatch.context() as patched:

            def refuse(*_: object) -> None:
                raise StorageUnavailable("the store does not answer")

            patched.setattr(Storage, "names", refuse)
            until(lambda: "the store does not answer" in (index.notice or ""))
            assert ids(index) == ["ad"]
        until(lambda: index.notice is None)
        assert index.database.path
        index.database.path.unlink()
        until(lambda: index.database.path is not None and index.database.path.exists() and index.is_complete)
        assert ids(index) == ["ad"]
