"""Reads, writes and readiness distinguish a lost storage from an empty one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from adreel.errors import NotFound, StorageError, StorageUnavailable
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job
from adreel.purchase.jobs import end_job, open_scenes, start_job
from adreel.records import Records
from adreel.records.verification import verify
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.marker import MARKER
from tests.factories import NOW, make_session, make_take
from tests.storage.contract import finished
from tests.storage.servers import S3Server


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.storage.RETRY_PAUSES", ())
    monkeypatch.setattr("adreel.storage.marker.FRESH_SECONDS", -1)


def lose(records: Records) -> None:
    """Empty a storage, like a lost mount."""
    storage = records.storage
    for path in storage.fs.find(storage.root):
        storage.fs.rm_file(path)


def test_the_first_record_brings_the_marker_and_reads_do_not(open_records: Callable[[], Records]) -> None:
    records = open_records()
    with pytest.raises(NotFound):
        records.session("ad")
    assert records.session_ids() == []
    assert records.storage.names("") == []
    records.save_session(make_session())
    assert records.storage.names("") == ["sessions"]
    marked = json.loads(records.storage.read(MARKER))
    assert marked["id"] == records.storage.storage_id
    open_records().save_session(make_session(session_id="other"))
    assert json.loads(records.storage.read(MARKER)) == marked
    assert verify(records) == []


def test_a_change_that_is_refused_marks_nothing(open_records: Callable[[], Records]) -> None:
    records = open_records()
    with pytest.raises(NotFound):
        records.update_session("ad", lambda session: session)
    end_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
    assert not records.storage.exists(MARKER)


def test_a_storage_of_an_earlier_adreel_is_marked_by_the_next_write(open_records: Callable[[], Records]) -> None:
    records = open_records()
    content = {"schema_version": 1, **make_session().model_dump(mode="json")}
    records.storage.write("sessions/ad/session.json", json.dumps(content).encode())
    assert records.session("ad").product_name == "Lamp"
    assert not records.storage.exists(MARKER)
    start_job(records, Settings(), "job-1", "ad", scenarios=[Scenario.HOOK])
    assert records.storage.exists(MARKER)


USES: dict[str, Callable[[Records, Path], object]] = {
    "session": lambda records, _: records.session("ad"),
    "job": lambda records, _: records.job("job-1"),
    "sessions": lambda records, _: records.session_ids(),
    "open scenes": lambda records, _: open_scenes(records, Settings(), "all"),
    "new session": lambda records, _: records.create_session(make_session(session_id="new")),
    "whole session": lambda records, _: records.save_session(make_session()),
    "start": lambda records, _: start_job(records, Settings(), "job-2", "ad"),
    "take": lambda records, _: records.save_take(make_take()),
    "ready": lambda records, _: records.storage.exists("sessions"),
    "open clip": lambda records, _: records.storage.open("ad_hook_01234567.mp4"),
}


@pytest.mark.parametrize("use", USES)
def test_a_storage_that_is_gone_is_an_error_and_nothing_is_written(
    open_records: Callable[[], Records], use: str, tmp_path: Path
) -> None:
    records = open_records()
    records.save_session(make_session())
    lose(records)
    for seen_by in (records, open_records()):
        with pytest.raises(StorageUnavailable, match=r"is gone: its adreel-storage\.json is missing.*mounted"):
            USES[use](seen_by, tmp_path)
    assert records.storage.fs.find(records.storage.root) == []


def test_a_lost_mount_gets_neither_a_clip_nor_a_folder(tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session())
    shutil.rmtree(tmp_path / "outputs")
    (tmp_path / "outputs").mkdir()
    with pytest.raises(StorageUnavailable):
        records.storage.publish(finished(tmp_path, b"clip"), "ad_hook_01234567.mp4")
    with pytest.raises(StorageUnavailable), records.storage.workspace():
        pass
    with pytest.raises(StorageUnavailable):
        records.save_take(make_take())
    assert list((tmp_path / "outputs").iterdir()) == []


def test_a_mount_that_comes_back_is_used_again(tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session())
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        records.session("ad")
    (tmp_path / "elsewhere").rename(tmp_path / "outputs")
    assert records.session("ad").product_name == "Lamp"


def test_another_storage_in_the_same_place_is_an_error(tmp_path: Path) -> None:
    for name in ("outputs", "other"):
        Records(Storage(str(tmp_path / name))).save_session(make_session())
    shutil.rmtree(tmp_path / "outputs")
    (tmp_path / "other").rename(tmp_path / "outputs")
    with pytest.raises(StorageError, match="another storage is at") as caught:
        Records(Storage(str(tmp_path / "outputs"))).session("ad")
    assert not caught.value.retryable


def test_a_process_that_starts_on_a_lost_mount_knows_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    monkeypatch.setenv("ADREEL_STORAGE_ID", "17")
    (tmp_path / "outputs").mkdir()
    records = Records.of(Settings.load())
    for use in (lambda: records.session("ad"), lambda: records.save_session(make_session()), records.session_ids):
        with pytest.raises(StorageUnavailable, match="is gone"):
            use()
    assert list((tmp_path / "outputs").iterdir()) == []
    (tmp_path / "outputs" / MARKER).write_text('{"id": "17"}')
    records.save_session(make_session())
    assert records.session_ids() == ["ad"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_marker_that_can_t_be_read_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / MARKER).write_text(content)
    with pytest.raises(StorageError, match=r"adreel-storage\.json is not a valid marker"):
        Records(Storage(str(tmp_path / "outputs"))).session_ids()


def test_a_fresh_process_says_that_a_storage_is_empty(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    for words in (["status", "ad"], ["resume", "ad"], ["regenerate", "ad", "hook"], ["sessions"]):
        ran = subprocess.run(
            [Path(sys.executable).with_name("adreel"), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "which is new and empty: check ADREEL_STORAGE, and that its disk is mounted" in ran.stdout + ran.stderr
    assert list((tmp_path / "outputs").iterdir()) == []


def test_the_marker_costs_one_request_for_each_process(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.storage.marker.FRESH_SECONDS", 3600)
    bucket = s3.bucket()
    Records(Storage(bucket, s3.options)).save_session(make_session())
    storage = Storage(bucket, s3.options)
    before = len(s3.requests)
    for _ in range(5):
        Records(storage).session("ad")
        Records(storage).save_take(make_take())
    asked = [request for request in s3.requests[before:] if MARKER in request]
    assert asked == []


@pytest.mark.parametrize("kind", ["local", "memory", "s3"])
def test_a_good_storage_passes_the_check_and_keeps_nothing_of_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        storage = Storage(f"{s3.bucket()}/ads", s3.options)
    else:
        storage = Storage(str(tmp_path / "outputs") if kind == "local" else f"memory://{uuid4().hex}")
    storage.check()
    assert storage.fs.find(storage.root) == []


@pytest.mark.parametrize(
    ("headers", "answer", "message"),
    [
        (["HTTP_IF_MATCH"], None, "loses another process's update"),
        (["HTTP_IF_NONE_MATCH"], None, "overwrites an existing file"),
        (["HTTP_IF_MATCH"], "501 Not Implemented", "refuses a conditional write"),
        (["HTTP_IF_NONE_MATCH"], "400 Bad Request", "refuses a conditional write"),
    ],
)
def test_a_server_without_conditional_puts_is_named_by_the_check(
    s3: S3Server, headers: list[str], answer: str | None, message: str
) -> None:
    def look(_request: str, environment: dict[str, object]) -> tuple[str, bytes] | None:
        if not any(header in environment for header in headers):
            return None
        if answer:
            return answer, f"<Error><Code>{answer[4:].replace(' ', '')}</Code></Error>".encode()
        for header in headers:
            del environment[header]
        return None

    storage = Storage(f"{s3.bucket()}/ads", s3.options)
    s3.answers = look
    try:
        with pytest.raises(StorageError, match=rf"{message}.*If-None-Match and If-Match"):
            storage.check()
    finally:
        s3.answers = lambda _request, _environment: None
    assert storage.names("") == []
