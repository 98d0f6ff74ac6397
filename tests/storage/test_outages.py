"""Stores that fail temporarily, respond with nonsense or hang: waits are bounded, idempotent operations are retried."""

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adreel.errors import BadRecord, StorageError, StorageUnavailable
from adreel.records import Records
from adreel.storage import Storage, object_store
from adreel.storage import s3 as s3_module
from adreel.storage.backend import RECORD_BYTES
from adreel.storage.outages import is_outage
from tests.factories import make_session
from tests.storage.contract import finished
from tests.storage.servers import Environment, S3Server

AT_ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.storage.RETRY_PAUSES", (0, 0))


@pytest.fixture
def storage(s3: S3Server) -> Iterator[Storage]:
    storage = Storage(f"{s3.bucket()}/ads", {**s3.options, **AT_ONCE})
    storage.fs.retries = 1
    yield storage
    s3.answers = lambda _request, _environment: None


def answering(pattern: str, status: str, body: bytes, *, times: int = 10**6) -> Callable[[str, Environment], Any]:
    """Respond to the first matching requests without executing them."""
    left = iter(range(times))

    def answer(request: str, _environment: Environment) -> Any:
        return (status, body) if re.search(pattern, request) and next(left, None) is not None else None

    return answer


def error_of(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


OPERATIONS: dict[str, Callable[[Storage, Path], object]] = {
    "read": lambda storage, _: storage.read("a.json"),
    "update": lambda storage, _: storage.update("a.json", lambda old: (old or b"") + b"x"),
    "write": lambda storage, _: storage.write("a.json", b"x"),
    "publish": lambda storage, folder: storage.publish(finished(folder, b"clip"), "clip.mp4"),
    "exists": lambda storage, _: storage.exists("a.json"),
    "size": lambda storage, _: storage.size("a.json"),
    "names": lambda storage, _: storage.names(""),
    "remove": lambda storage, _: storage.remove("a.json"),
}


@pytest.mark.parametrize(
    "answer",
    [
        "500 InternalError",
        "503 ServiceUnavailable",
        "503 SlowDown",
        "429 TooManyRequests",
        "504 GatewayTimeout",
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_that_passes_is_asked_for_again_and_told_as_passing_if_it_stays(
    storage: Storage, s3: S3Server, tmp_path: Path, operation: str, answer: str
) -> None:
    body = error_of(answer[4:])
    storage.write("a.json", b"1")
    s3.answers = answering(".", answer, body, times=2)
    OPERATIONS[operation](storage, tmp_path)
    s3.answers = answering(".", answer, body)
    with pytest.raises(StorageUnavailable, match=r"can't \w+ s3://.*trying again costs nothing"):
        OPERATIONS[operation](storage, tmp_path)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("403 Forbidden", "AccessDenied"),
        ("501 Not Implemented", "NotImplemented"),
        ("400 Bad Request", "InvalidArgument"),
    ],
)
def test_an_answer_that_lasts_is_final_and_asked_for_once(
    storage: Storage, s3: S3Server, status: str, code: str
) -> None:
    s3.answers = answering("PUT", status, error_of(code))
    before = len(s3.requests)
    with pytest.raises(StorageError, match="ADREEL_STORAGE") as caught:
        storage.write("a.json", b"")
    assert not caught.value.retryable
    assert len(s3.requests) == before + 1


def test_a_bucket_that_is_gone_is_neither_empty_nor_passing(s3: S3Server) -> None:
    storage = Storage("s3://gone-bucket/ads", s3.options)
    for look in (
        lambda: storage.read("a.json"),
        lambda: storage.exists("a.json"),
        lambda: storage.exists("sessions"),
        lambda: storage.names("sessions"),
        lambda: storage.update("a.json", lambda _: b""),
        lambda: Records(storage).session("ad"),
    ):
        with pytest.raises(StorageError, match="no such bucket") as caught:
            look()
        assert not caught.value.retryable


def test_a_write_whose_answer_was_lost_is_not_taken_for_another_writer_s(storage: Storage, s3: S3Server) -> None:
    """The client repeats a put without a response, and the condition refuses the repeated put."""
    storage.fs.retries = 5
    puts = []

    def lose(request: str, _environment: Environment) -> bool:
        if request.startswith("PUT"):
            puts.append(request)
        return request.startswith("PUT") and len(puts) == 1

    s3.loses = lose
    try:
        session, created = Records(storage).create_session(make_session())
    finally:
        s3.loses = lambda _request, _environment: False
    assert created
    assert session.product_name == "Lamp"
    puts.clear()
    s3.loses = lose
    try:
        counted = storage.update("count.json", lambda old: str(int(old or b"0") + 1).encode())
    finally:
        s3.loses = lambda _request, _environment: False
    assert (counted, storage.read("count.json")) == (b"1", b"1")


@pytest.mark.parametrize("operation", ["update", "write", "publish"])
def test_a_page_of_another_server_is_no_proof_of_a_write(
    storage: Storage, s3: S3Server, tmp_path: Path, operation: str
) -> None:
    s3.answers = answering("PUT", "200 OK", b"<html>please sign in</html>")
    with pytest.raises(StorageError, match="not come from an S3 server"):
        OPERATIONS[operation](storage, tmp_path)


def test_a_page_of_another_server_is_no_record_and_no_listing(storage: Storage, s3: S3Server) -> None:
    s3.answers = answering("GET", "200 OK", b"<html>please sign in</html>")
    for look in (storage.names, storage.exists):
        with pytest.raises(StorageError, match="not a listing"):
            look("sessions")
    with pytest.raises(StorageError, match="not come from an S3 server"):
        Records(storage).session("ad")


@pytest.mark.parametrize("cut", [b"", b"<ListBucketResult><Conte", b"\x00\xff"])
def test_half_a_listing_is_an_error(storage: Storage, s3: S3Server, cut: bytes) -> None:
    s3.answers = answering("list-type", "200 OK", cut)
    with pytest.raises(StorageError, match="can't list"):
        storage.names("sessions")


def test_a_listing_that_repeats_itself_ends(storage: Storage, s3: S3Server) -> None:
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>"
        b"<Contents><Key>ads/jobs/a.json</Key></Contents></ListBucketResult>"
    )
    s3.answers = answering("list-type", "200 OK", page)
    before = len(s3.requests)
    with pytest.raises(StorageError, match="repeats itself"):
        storage.names("jobs")
    assert len(s3.requests) - before == 2
    with pytest.raises(StorageError, match="repeats itself"):
        list(storage.each_name("jobs"))


def test_a_listing_of_new_names_without_an_end_ends(
    storage: Storage, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "MAX_PAGES", 5)
    page = (
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>"
        "<Contents><Key>ads/jobs/{}.json</Key></Contents></ListBucketResult>"
    )
    numbers = iter(range(1000))
    s3.answers = lambda request, _: ("200 OK", page.format(next(numbers)).encode()) if "list-type" in request else None
    with pytest.raises(StorageError, match="does not end"):
        storage.names("jobs")


def test_an_etag_that_never_fits_ends(storage: Storage, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "MAX_TRIES", 5)
    storage.write("a.json", b"1")
    s3.answers = answering("PUT", "412 Precondition Failed", error_of("PreconditionFailed"))
    with pytest.raises(StorageError, match="other writers kept changing it"):
        storage.update("a.json", lambda _: b"2")


@pytest.mark.parametrize("where", ["local", "s3", "memory"])
def test_a_record_that_is_huge_is_not_read(where: str, storage: Storage, tmp_path: Path) -> None:
    storages = {"local": Storage(str(tmp_path / "outputs")), "s3": storage, "memory": Storage(f"memory://{tmp_path}")}
    storages[where].write("jobs/job-1.json", b" " * (RECORD_BYTES + 1))
    records = Records(storages[where])
    with pytest.raises(StorageError, match="larger than 16 MiB"):
        records.job("job-1")
    with pytest.raises(StorageError, match="larger than 16 MiB"):
        records.update_job("job-1", lambda job: job)


def test_a_server_that_hangs_ends_each_operation(
    storage: Storage, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()
    storage.write("a.json", b"1")
    monkeypatch.setattr(s3_module, "PART_TIMEOUT", 0.3)
    monkeypatch.setattr(s3_module, "RECORD_TIMEOUT", 0.3)
    monkeypatch.setattr("adreel.storage.RETRY_SECONDS", 0)
    s3.breaks = lambda _request, _environment: over.wait(30)
    try:
        for operation in OPERATIONS.values():
            with pytest.raises(StorageUnavailable, match=r"no answer within 0\.3 s"):
                operation(storage, tmp_path)
    finally:
        over.set()


def test_options_of_the_user_are_merged_with_what_other_servers_need(s3: S3Server) -> None:
    url = s3.bucket()
    storage = Storage(url, {**s3.options, "config_kwargs": {"s3": {"addressing_style": "path"}, "read_timeout": 3}})
    assert storage.fs.config_kwargs == {
        "signature_version": "s3v4",
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "connect_timeout": 5,
        "read_timeout": 3,
        "max_pool_connections": 64,
        "s3": {"addressing_style": "path"},
    }


def test_a_server_that_refuses_checksums_behind_a_body_is_written_to(
    storage: Storage, s3: S3Server, tmp_path: Path
) -> None:
    def refuse(request: str, environment: Environment) -> Any:
        # Checksums are a trailer over TLS, a header over plain HTTP.
        checksums = {
            name for name in environment if name.startswith(("HTTP_X_AMZ_CHECKSUM", "HTTP_X_AMZ_SDK_CHECKSUM"))
        }
        behind = "HTTP_X_AMZ_TRAILER" in environment or "TRAILER" in environment.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        return ("401 Unauthorized", error_of("Unauthorized")) if checksums or behind else None

    s3.answers = refuse
    storage.write("a.json", b"1")
    storage.update("a.json", lambda old: (old or b"") + b"2")
    assert storage.publish(finished(tmp_path, b"x" * 6_000_000), "clip.mp4")
    assert storage.read("a.json") == b"12"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TimeoutError("slow"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        (OSError(errno.ESTALE, "stale"), True),
        (OSError(errno.ENOTCONN, "not connected"), True),
        (OSError(errno.ENOSPC, "full"), False),
        (PermissionError(errno.EACCES, "denied"), False),
        (OSError(errno.EROFS, "read-only"), False),
        (FileNotFoundError(errno.ENOENT, "none"), False),
        (ValueError("odd"), False),
    ],
)
def test_an_error_of_the_system_passes_or_lasts(error: Exception, *, passes: bool) -> None:
    assert is_outage(error) is passes
    outer = OSError("it failed")
    outer.__cause__ = error
    assert is_outage(outer) is passes


@pytest.mark.parametrize("path", ["jobs/job-1.json", "sessions/ad/session.json"])
def test_a_fifo_in_the_place_of_a_record_is_refused_at_once(path: str, tmp_path: Path) -> None:
    import os

    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session(session_id="other"))
    place = Path(records.storage.location(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(place)
    with pytest.raises(StorageError, match="not a regular file"):
        records.job("job-1") if "jobs" in path else records.session("ad")
    with pytest.raises(StorageError, match="not a regular file"):
        records.storage.update(path, lambda _: b"")
    with pytest.raises(StorageError, match="not a regular file"):
        records.storage.open(path)


def test_a_fifo_in_the_place_of_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    import os

    storage = Storage(str(tmp_path / "outputs"))
    storage.write("a.json", b"")
    os.mkfifo(tmp_path / "outputs" / "jobs")
    with pytest.raises(StorageError, match="Not a directory"):
        storage.update("jobs/a.json", lambda _: b"")
    with pytest.raises(StorageError, match="Not a directory"):
        storage.write("jobs/a.json", b"")


def test_a_lock_that_is_held_ends_an_update_and_names_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl
    import os

    storage = Storage(str(tmp_path / "outputs"))
    storage.write("a.json", b"1")
    monkeypatch.setattr("adreel.storage.local.LOCK_SECONDS", 0.1)
    monkeypatch.setattr("adreel.storage.RETRY_SECONDS", 0)
    handle = os.open(storage.root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(StorageUnavailable, match=rf"locked for 0\.1 s by (process {os.getpid()}|another process)"):
            storage.update("a.json", lambda _: b"2")
    finally:
        os.close(handle)
    assert storage.update("a.json", lambda _: b"2") == b"2"


def test_an_update_waits_for_a_lock_that_is_given_back(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "outputs"))
    storage.write("a.json", b"1")
    entered, leave = Event(), Event()

    def hold(old: bytes | None) -> bytes:
        entered.set()
        leave.wait(30)
        return (old or b"") + b"2"

    thread = Thread(target=storage.update, args=("a.json", hold))
    thread.start()
    entered.wait(30)
    waiting = Thread(target=storage.update, args=("a.json", lambda old: (old or b"") + b"3"))
    waiting.start()
    leave.set()
    thread.join()
    waiting.join()
    assert storage.read("a.json") == b"123"


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o640, 0o750), (0o077, 0o600, 0o700), (0, 0o660, 0o750)])
def test_files_are_closed_to_other_users(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    import os

    before = os.umask(umask)
    try:
        storage = Storage(str(tmp_path / "outputs"))
        Records(storage).save_session(make_session())
        storage.write("jobs/a.json", b"")
        with storage.workspace() as workspace:
            storage.publish(finished(workspace, b"clip"), "clip.mp4")
    finally:
        os.umask(before)
    for path in Path(storage.root).rglob("*"):
        assert oct(path.stat().st_mode & 0o777) == oct(folder if path.is_dir() else file), path
    assert Path(storage.root).stat().st_mode & 0o777 == folder


def test_a_disk_that_knows_no_permissions_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def refuse(_handle: int, _mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    storage = Storage(str(tmp_path / "outputs"))
    storage.write("a.json", b"1")
    assert storage.publish(finished(tmp_path, b"clip"), "clip.mp4")
    assert storage.update("a.json", lambda old: (old or b"") + b"2") == b"12"


def test_a_broken_record_stays_a_broken_record(tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path / "outputs")))
    records.storage.write("jobs/job-1.json", b"{")
    with pytest.raises(BadRecord) as caught:
        records.job("job-1")
    assert not caught.value.retryable
