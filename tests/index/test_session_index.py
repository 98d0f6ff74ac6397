"""The index of sessions: what it lists, what it learns of other processes, and what damages it survives."""

import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from adreel.errors import StorageUnavailable
from adreel.index import SessionIndex, SessionQuery
from adreel.index.database import IndexReset
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job, Problem, utc_now
from adreel.records import Records, changes
from adreel.storage import Storage, marker
from tests.factories import NOW, make_session, make_take, save_job
from tests.storage.servers import S3Server

PAST = utc_now() - timedelta(days=3)


@pytest.fixture
def index(records: Records, tmp_path: Path) -> SessionIndex:
    """Give the index of three sessions."""
    for name in ("one", "two", "three"):
        records.save_session(make_session(session_id=name, product_name=f"Product {name}"))
    index = SessionIndex(records, tmp_path / "index")
    index.update()
    return index


def listed(index: SessionIndex, **query: object) -> list[str]:
    return [session.session_id for session in index.page(SessionQuery(**query)).sessions]  # type: ignore[arg-type]


def forget_own_changes(index: SessionIndex) -> None:
    """Let the changes of this process be those of a process that was killed before it announced them."""
    index._own_changes.clear()


def announcing(records: Records) -> Records:
    """Return the same records as another process of adreel opens them."""
    return Records(Storage(records.storage.root), announces=True)


def test_a_list_needs_no_record(index: SessionIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "read", None)
    monkeypatch.setattr(Storage, "names", None)
    page = index.page(SessionQuery())
    assert [session.session_id for session in page.sessions] == ["three", "two", "one"]
    assert (page.total, page.notice) == (3, None)


def test_pages_lead_forth_and_back_in_every_order(index: SessionIndex, records: Records) -> None:
    for number in range(7):
        records.save_session(make_session(session_id=f"more-{number}"))
        # Many have the same cost.
        records.save_take(make_take(session_id=f"more-{number}", minute=number))
    index.update()
    for sort in ("-created", "created", "-updated", "updated", "-cost", "cost", "id", "-id"):
        every = listed(index, sort=sort, limit=0)
        assert len(every) == 10
        pages = [index.page(SessionQuery(sort=sort, limit=4))]
        while pages[-1].next:
            pages.append(index.page(SessionQuery(sort=sort, limit=4, after=pages[-1].next)))
        assert [session.session_id for page in pages for session in page.sessions] == every
        page = pages[-1]
        for earlier in reversed(pages[:-1]):
            assert page.previous
            page = index.page(SessionQuery(sort=sort, limit=4, before=page.previous))
            assert page == earlier


def test_a_page_in_front_of_a_page_that_became_the_first_is_whole(index: SessionIndex) -> None:
    cursor = index.page(SessionQuery(limit=1)).next
    assert [each.session_id for each in index.page(SessionQuery(limit=3, before=cursor)).sessions] == [
        "three",
        "two",
        "one",
    ]


def test_states_costs_and_campaigns_are_those_of_the_records(index: SessionIndex, records: Records) -> None:
    records.save_session(make_session(session_id="two"), campaign="spring")
    save_job(records, Job(job_id="job-1", session_id="two", scenarios=[Scenario.HOOK], created_at=NOW))
    records.save_take(make_take(session_id="two"))
    records.save_take(make_take(AttemptState.ACCEPTED, session_id="three", job_id="job-2"))
    index.update()
    assert listed(index, state="partial") == ["two"]
    assert listed(index, state="generating") == ["three"]
    assert listed(index, state="new") == ["one"]
    cancelled = make_take(AttemptState.ACCEPTED, session_id="one", job_id="job-3")
    cancelled.problem = Problem(code="cancelled", message="cancelled")
    records.save_take(cancelled)
    index.update()
    assert listed(index, state="cancelled") == ["one"]
    [two] = index.page(SessionQuery(q="SPRING")).sessions
    assert listed(index, campaign="spring") == ["two"]
    assert listed(index, campaign="Spring") == []
    assert index.page(SessionQuery(state="partial")).states == {"partial": 1, "generating": 1, "cancelled": 1}
    assert (two.session_id, two.cost, two.campaign, two.has_cut) == ("two", 0.11, "spring", False)
    assert listed(index, since=utc_now() - timedelta(hours=1), state="partial") == ["two"]


def test_another_process_is_heard_of_by_the_feed_alone(index: SessionIndex, records: Records) -> None:
    # The child shares nothing with this process but the storage.
    code = "import sys; from adreel.records import Records; from adreel.storage import Storage;"
    code += "from tests.factories import make_session, make_take;"
    code += "records = Records(Storage(sys.argv[1]), announces=True);"
    code += "records.save_session(make_session(session_id='four'));"
    code += "records.save_take(make_take(session_id='one'))"
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", code, records.storage.root], check=True, cwd=root, timeout=60)
    assert len(records.storage.files("changes")) == 1, "what changes within a moment is announced at once"
    assert listed(index) == ["three", "two", "one"]
    index.update()
    assert listed(index) == ["four", "three", "two", "one"]
    assert listed(index, state="partial") == ["one"]


def test_an_object_store_has_an_index_and_a_feed_as_well(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    index = SessionIndex(Records(Storage(bucket, s3.options)), tmp_path / "index")
    index.update()
    other = Records(Storage(bucket, s3.options), announces=True)
    other.save_session(make_session())
    other.save_take(make_take())
    changes.announcer.flush()
    forget_own_changes(index)
    index.update()
    assert listed(index, state="partial") == ["ad"]
    assert index.check() == []
    changes.clear(other.storage, utc_now() + 2 * changes.KEPT)
    assert other.storage.names("changes") == []


def test_several_changes_at_once_are_one_announcement(index: SessionIndex, records: Records) -> None:
    other = announcing(records)
    for name in ("one", "two", "three"):
        other.save_take(make_take(session_id=name, job_id=f"job-{name}"))
    changes.announcer.flush()
    assert len(records.storage.files("changes")) == 1
    forget_own_changes(index)
    index.update()
    assert set(listed(index, state="partial")) == {"one", "two", "three"}


def test_steps_of_a_purchase_are_not_announced_and_the_end_of_its_job_is(records: Records) -> None:
    quick = announcing(records)
    quick.save_session(make_session())
    job = Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW)
    save_job(quick, job)
    quick.save_take(make_take(None))
    changes.announcer.flush()
    assert len(records.storage.files("changes")) == 1
    for state in (AttemptState.SUBMITTED, AttemptState.ACCEPTED, AttemptState.RENDERED, AttemptState.STORED):
        quick.save_take(make_take(state))
        changes.announcer.flush()
    assert len(records.storage.files("changes")) == 1
    save_job(quick, job.model_copy(update={"ended_at": NOW}))
    changes.announcer.flush()
    assert len(records.storage.files("changes")) == 2


def test_an_outage_of_the_feed_disturbs_no_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageUnavailable("no answer")

    monkeypatch.setattr(Storage, "write", refuse)
    announcing(records).save_session(make_session())
    changes.announcer.flush()
    assert records.session_ids() == ["ad"]


def test_old_announcements_are_removed_and_recent_ones_are_kept(records: Records) -> None:
    records.save_session(make_session())
    for at in (PAST, utc_now()):
        records.storage.write(*changes.new_entry(["ad"], at))
    changes.clear(records.storage, utc_now())
    [kept] = records.storage.files("changes")
    assert changes.sessions_of(records.storage, *kept.split("/")) == {"ad"}
    assert len(records.storage.names("changes")) == 1


def test_an_index_that_was_away_for_too_long_reads_everything_again(index: SessionIndex, records: Records) -> None:
    records.save_take(make_take(session_id="one"))
    forget_own_changes(index)
    index.update()
    assert listed(index, state="partial") == []
    index.database.remember(caught_up_at=PAST.isoformat())
    index.update()
    assert listed(index, state="partial") == ["one"]


def test_a_generating_session_whose_run_is_silent_is_read_again(index: SessionIndex, records: Records) -> None:
    records.save_take(make_take(AttemptState.ACCEPTED, session_id="one"))
    index.update()
    records.save_take(make_take(AttemptState.STORED, session_id="one"))
    forget_own_changes(index)
    index.refresh_silent(older_than=3600, limit=8)
    assert listed(index, state="generating") == ["one"]
    index.refresh_silent(older_than=0, limit=8)
    assert listed(index, state="partial") == ["one"]


def test_a_session_that_was_copied_in_or_removed_by_hand_is_found(index: SessionIndex, records: Records) -> None:
    root = Path(records.storage.root)
    shutil.copytree(root / "sessions/one", root / "sessions/copied")
    text = (root / "sessions/one/session.json").read_text().replace('"one"', '"copied"')
    (root / "sessions/copied/session.json").write_text(text)
    shutil.rmtree(root / "sessions/two")
    assert {"copied: it is missing from the index", "two: it is gone from the storage"} <= set(index.check())
    index.refresh_names()
    assert set(listed(index)) == {"three", "copied", "one"}
    assert index.check() == []


def test_a_server_waits_until_the_index_is_known_to_be_of_its_storage(
    index: SessionIndex, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(records.storage.root)
    monkeypatch.setattr(marker, "_seen", WeakKeyDictionary())
    other = announcing(records)
    other.save_session(make_session(session_id="other"))
    successor = SessionIndex(other, tmp_path / "index")
    successor.is_followed = True
    monkeypatch.setattr("adreel.index.session_index.BUILD_WAIT_SECONDS", 10)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(listed, successor)
        successor.update()
        assert first.result() == ["other"]


def test_an_earlier_reading_never_replaces_a_later_one(index: SessionIndex, records: Records) -> None:
    [old] = index._read_all(["one"])
    records.save_take(make_take(session_id="one"))
    index.update()
    index._store([old])
    assert listed(index, state="partial") == ["one"]


def test_check_names_what_the_records_show_differently(index: SessionIndex, records: Records) -> None:
    assert index.check() == []
    records.save_take(make_take(session_id="one"))
    assert index.check() == ["one: the index shows an earlier state"]
    index.rebuild()
    assert index.check() == []


def test_a_query_over_whole_tables_waits_for_no_other(index: SessionIndex) -> None:
    sql = "SELECT count(*) FROM sessions"
    with ThreadPoolExecutor(1) as thread, index.database.write():
        assert thread.submit(index.database.read_apart, sql).result(30) == [(3,)]
    assert index.database.path
    index.database.path.unlink()
    assert index.database.read_apart(sql) == [(3,)], "the file is gone, but still open"
    assert not index.database.path.exists()


class TestDamage:
    """The file is lost, damaged or can't be written: the list comes back, and the records stay as they are."""

    def test_a_deleted_file_is_built_again(self, index: SessionIndex) -> None:
        assert index.database.path
        index.database.path.unlink()
        with pytest.raises(IndexReset):
            index.database.check_file()
        assert "is being built" in (index.page(SessionQuery()).notice or "")
        index.update()
        assert listed(index) == ["three", "two", "one"]

    @pytest.mark.parametrize("junk", [b"junk" * 4096, b""], ids=["junk", "empty"])
    def test_a_damaged_file_is_built_again_at_the_next_start(
        self, index: SessionIndex, records: Records, tmp_path: Path, junk: bytes
    ) -> None:
        assert index.database.path
        index.database.close()
        index.database.path.write_bytes(junk)
        again = SessionIndex(records, tmp_path / "index")
        assert again.database.is_kept
        again.update()
        assert listed(again) == ["three", "two", "one"]

    def test_a_file_with_damaged_pages_is_built_again(
        self, index: SessionIndex, records: Records, tmp_path: Path
    ) -> None:
        for number in range(100):
            records.save_session(make_session(session_id=f"more-{number}"))
        index.update()
        assert index.database.path
        index.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
        size = index.database.path.stat().st_size
        with index.database.path.open("r+b") as stream:
            stream.seek(4096)
            stream.write(b"\xff" * (size - 4096))
        again = SessionIndex(records, tmp_path / "index")
        assert "is being built" in (again.page(SessionQuery(limit=5)).notice or "")
        again.update()
        assert again.page(SessionQuery()).total == 103
        assert again.database.is_kept

    def test_a_file_of_another_version_is_built_again(
        self, index: SessionIndex, records: Records, tmp_path: Path
    ) -> None:
        with index.database.write() as connection:
            connection.execute("DROP TABLE scenes")
        index.database.read("PRAGMA user_version = 99")
        again = SessionIndex(records, tmp_path / "index")
        again.update()
        assert listed(again) == ["three", "two", "one"]

    def test_the_file_of_an_emptied_storage_is_not_used_for_the_next_one(
        self, index: SessionIndex, records: Records, tmp_path: Path
    ) -> None:
        shutil.rmtree(records.storage.root)
        other = Records(Storage(records.storage.root))
        other.storage.fs.invalidate_cache()
        new = SessionIndex(Records(Storage(records.storage.root)), tmp_path / "index")
        from adreel.storage.marker import _seen

        _seen.clear()
        new.update()
        assert listed(new) == []

    def test_a_folder_that_can_not_be_written_puts_the_index_into_memory(
        self, records: Records, tmp_path: Path
    ) -> None:
        records.save_session(make_session())
        (tmp_path / "file").write_text("no folder")
        index = SessionIndex(records, tmp_path / "file")
        index.update()
        assert (listed(index), index.database.is_kept) == (["ad"], False)
        assert index.database.read_apart("SELECT count(*) FROM sessions") == [(1,)]

    def test_a_full_disk_puts_the_index_into_memory(self, index: SessionIndex, records: Records) -> None:
        [[pages]] = index.database.read("PRAGMA page_count")
        index.database.read(f"PRAGMA max_page_count = {pages}")
        for number in range(60):
            records.save_session(make_session(session_id=f"more-{number}"))
        with pytest.raises(IndexReset, match="full"):
            index.update()
        index.update()
        assert index.page(SessionQuery()).total == 63
        assert not index.database.is_kept
        assert len(records.session_ids()) == 63

    def test_a_process_that_is_killed_while_it_writes_damages_nothing(self, records: Records, tmp_path: Path) -> None:
        for number in range(100):
            records.save_session(make_session(session_id=f"ad-{number}"))
        code = "import sys; from pathlib import Path; from adreel.index import SessionIndex;"
        code += "from adreel.records import Records; from adreel.storage import Storage;"
        code += "index = SessionIndex(Records(Storage(sys.argv[1])), Path(sys.argv[2]));"
        code += "print('building', flush=True)\nwhile True: index.rebuild()"
        command = [sys.executable, "-c", code, records.storage.root, str(tmp_path / "index")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(0.3)
            process.kill()
        index = SessionIndex(records, tmp_path / "index")
        index.update()
        assert index.page(SessionQuery()).total == 100
        assert index.check() == []
        assert index.database.read("PRAGMA integrity_check") == [("ok",)]

    def test_a_file_in_use_for_too_long_is_told(self, index: SessionIndex, monkeypatch: pytest.MonkeyPatch) -> None:
        index.database.read("PRAGMA busy_timeout = 10")
        assert index.database.path
        other = sqlite3.connect(index.database.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="in use by another process"):
            index.database.remember(total="1")
        assert listed(index) == ["three", "two", "one"]
        other.close()
        index.update()
