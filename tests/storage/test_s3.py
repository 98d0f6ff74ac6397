"""S3: multipart uploads, broken connections, unfinished uploads, signed URLs, errors without secrets."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest

from adreel.errors import StorageError
from adreel.storage import Storage
from adreel.storage import s3 as s3_module
from adreel.storage.s3 import PART_BYTES, S3
from tests.storage.contract import finished
from tests.storage.counting import counted
from tests.storage.servers import KEY, Environment, S3Server

TOMORROW = datetime.now(UTC) + timedelta(days=1)
AT_ONCE = {"config_kwargs": {"signature_version": "s3v4", "retries": {"max_attempts": 0}}}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.storage.RETRY_PAUSES", (0, 0, 0, 0))


@pytest.fixture
def storage(s3: S3Server) -> Storage:
    """Return a storage with few retries."""
    storage = Storage(f"{s3.bucket()}/ads", {**s3.options, **AT_ONCE})
    storage.fs.retries = 1
    return storage


def breaking(pattern: str) -> Callable[[str, Environment], bool]:
    return lambda request, _environment: re.search(pattern, request) is not None


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 1])
def test_a_file_of_any_size_about_that_of_a_piece_comes_whole(storage: Storage, tmp_path: Path, size: int) -> None:
    source = finished(tmp_path, bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    assert storage.publish(source, "clip.mp4")
    assert storage.read("clip.mp4") == source.read_bytes()
    assert storage.leftovers(TOMORROW) == []


@pytest.mark.parametrize(
    "where",
    ["uploads", "partNumber=1", "partNumber=2", "partNumber=3", r"POST .*uploadId"],
    ids=["begin", "first piece", "a piece", "last piece", "end"],
)
def test_a_connection_that_breaks_midway_leaves_nothing(
    storage: Storage, s3: S3Server, tmp_path: Path, where: str
) -> None:
    source = finished(tmp_path, b"x" * (2 * PART_BYTES + 5))
    s3.breaks = breaking(where)
    with pytest.raises(StorageError, match=r"can't write s3://bucket-\w+/ads/clip\.mp4: .*ADREEL_STORAGE"):
        storage.publish(source, "clip.mp4")
    s3.breaks = breaking("^$")
    assert storage.names("") == []
    assert storage.leftovers(TOMORROW) == []
    assert storage.publish(source, "clip.mp4")


@pytest.mark.parametrize("left", [0, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 4])
def test_a_source_that_is_cut_meanwhile_is_not_published(
    storage: Storage, s3: S3Server, tmp_path: Path, left: int
) -> None:
    source = finished(tmp_path, b"x" * (2 * PART_BYTES + 5))

    def cut(request: str, _environment: Environment) -> bool:
        if request.startswith("POST") and "uploads" in request:
            with source.open("r+b") as stream:
                stream.truncate(left)
        return False

    s3.breaks = cut
    with pytest.raises(StorageError, match="has changed"):
        storage.publish(source, "clip.mp4")
    assert storage.names("") == []
    assert storage.leftovers(TOMORROW) == []


def test_an_upload_that_a_killed_writer_left_is_named_until_it_is_ended(storage: Storage, s3: S3Server) -> None:
    bucket = storage.root.partition("/")[0]
    upload = storage.fs.call_s3("create_multipart_upload", Bucket=bucket, Key="ads/clip.mp4")["UploadId"]
    storage.fs.call_s3("create_multipart_upload", Bucket=bucket, Key="elsewhere/clip.mp4")
    assert storage.leftovers(TOMORROW) == [f"clip.mp4?uploadId={upload}"]
    assert storage.leftovers(datetime(2000, 1, 1, tzinfo=UTC)) == []
    storage.fs.call_s3("abort_multipart_upload", Bucket=bucket, Key="ads/clip.mp4", UploadId=upload)
    assert storage.leftovers(TOMORROW) == []


def test_a_range_costs_what_is_read_and_a_block(storage: Storage, s3: S3Server, tmp_path: Path) -> None:
    storage.publish(finished(tmp_path, b"x" * 20_000_000), "clip.mp4")
    ranges = []

    def see(request: str, environment: Environment) -> bool:
        if request.startswith("GET"):
            ranges.append(environment.get("HTTP_RANGE"))
        return False

    s3.breaks = see
    with storage.open("clip.mp4") as stream:
        stream.seek(10_000_000)
        stream.read(100)
        stream.read(100)
    [asked] = ranges
    first, last = map(int, str(asked).removeprefix("bytes=").split("-"))
    assert first == 10_000_000
    assert last - first <= 100 + 4 * 1024 * 1024


def test_a_reading_that_breaks_off_is_trouble_of_the_storage(storage: Storage, s3: S3Server, tmp_path: Path) -> None:
    storage.publish(finished(tmp_path, b"x" * 20_000_000), "clip.mp4")
    with storage.open("clip.mp4") as stream:
        stream.read(1)
        s3.breaks = breaking("^GET")
        stream.seek(15_000_000)
        with pytest.raises(StorageError, match="broke off"):
            stream.read(1)


def test_a_signed_url_ends(storage: Storage, tmp_path: Path) -> None:
    storage.publish(finished(tmp_path, b"clip"), "clip.mp4")
    url = storage.sign("clip.mp4", 60)
    assert url is not None
    assert "X-Amz-Expires=60" in url
    assert KEY["secret"] not in url
    assert httpx.get(url).content == b"clip"


def test_an_update_is_done_again_if_another_writer_was_faster(storage: Storage, s3: S3Server) -> None:
    other = Storage(storage.url, s3.options)
    seen = []

    def append(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) < 3:
            other.write("a.json", b"theirs" * len(seen))
        return (old or b"") + b" and ours"

    assert storage.update("a.json", append) == b"theirstheirs and ours"
    assert seen == [None, b"theirs", b"theirstheirs"]


def test_a_server_that_falls_silent_does_not_hold_a_clip_for_ever(
    storage: Storage, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()
    source = finished(tmp_path, b"x" * (2 * PART_BYTES))

    def fall_silent(request: str, _environment: Environment) -> bool:
        return "partNumber=2" in request and over.wait(30)

    s3.breaks = fall_silent
    monkeypatch.setattr(s3_module, "PART_TIMEOUT", 0.5)
    with pytest.raises(StorageError, match=r"no answer within 0\.5 s"):
        storage.publish(source, "clip.mp4")
    over.set()
    assert storage.names("") == []
    assert storage.leftovers(TOMORROW) == []


def test_a_bucket_that_is_missing_is_named(s3: S3Server) -> None:
    storage = Storage("s3://no-such-bucket", s3.options)
    no_bucket = r"can't write s3://no-such-bucket/a\.json: .*bucket"
    with pytest.raises(StorageError, match=no_bucket):
        storage.write("a.json", b"")
    with pytest.raises(StorageError, match=no_bucket):
        storage.update("a.json", lambda _: b"")


def test_a_server_that_is_away_is_named_without_a_secret(unused_tcp_port: int) -> None:
    options = {**KEY, "endpoint_url": f"http://127.0.0.1:{unused_tcp_port}", **AT_ONCE}
    storage = Storage("s3://bucket", options)
    storage.fs.retries = 1
    with pytest.raises(StorageError, match=r"can't write s3://bucket/a\.json") as caught:
        storage.write("a.json", b"")
    assert KEY["secret"] not in str(caught.value)


def add_one(old: bytes | None) -> bytes:
    return str(int(old or b"0") + 1).encode()


def test_an_update_of_a_known_record_is_one_put(storage: Storage, s3: S3Server) -> None:
    storage.update("a.json", add_one)
    storage.update("a.json", add_one)  # Also asks once whether the server honours conditions.
    with counted(s3) as requests:
        storage.update("a.json", add_one)
        Storage(storage.url, s3.options).update("a.json", lambda old: b"theirs " + (old or b""))
    assert dict(requests) == {"put": 2, "get": 1}
    assert storage.update("a.json", lambda old: (old or b"") + b" ours") == b"theirs 3 ours"


def test_a_new_record_is_one_put_unless_it_exists(storage: Storage, s3: S3Server) -> None:
    storage.update("a.json", add_one)
    storage.update("a.json", add_one)
    storage.assume_missing("b.json")
    with counted(s3) as requests:
        storage.update("b.json", add_one)
    assert dict(requests) == {"put": 1}
    storage.assume_missing("b.json")
    assert storage.update("b.json", add_one) == b"2"


def test_a_change_is_refused_only_for_the_present_record(storage: Storage, s3: S3Server) -> None:
    other = Storage(storage.url, s3.options)
    storage.update("a.json", add_one)
    other.write("a.json", b"7")

    def unless_small(old: bytes | None) -> bytes | None:
        if int(old or b"0") < 7:
            raise ValueError(old)
        return None if old == b"8" else b"8"

    assert storage.update("a.json", unless_small) == b"8"
    other.write("a.json", b"9")
    assert storage.update("a.json", unless_small) == b"8"
    other.write("a.json", b"1")
    with pytest.raises(ValueError, match="1"):
        storage.update("a.json", unless_small)


def test_a_removed_record_is_made_anew(storage: Storage, s3: S3Server) -> None:
    storage.update("a.json", add_one)
    storage.update("a.json", add_one)
    Storage(storage.url, s3.options).remove("a.json")
    assert storage.update("a.json", add_one) == b"1"


def test_a_lost_response_to_a_put_without_a_read_is_no_other_writer(storage: Storage, s3: S3Server) -> None:
    storage.fs.retries = 5
    storage.update("a.json", add_one)
    storage.update("a.json", add_one)
    puts = []

    def lose(request: str, _environment: Environment) -> bool:
        puts.append(request.startswith("PUT"))
        return request.startswith("PUT") and sum(puts) == 1

    s3.loses = lose
    assert storage.update("a.json", add_one) == b"3"
    assert sum(puts) == 2


def test_a_server_that_ignores_conditions_is_read_before_each_put(storage: Storage, s3: S3Server) -> None:
    def ignore(_request: str, environment: Environment) -> None:
        environment.pop("HTTP_IF_MATCH", None)

    s3.answers = ignore
    storage.update("a.json", add_one)
    Storage(storage.url, s3.options).write("a.json", b"10")
    assert storage.update("a.json", add_one) == b"11"
    assert storage.names("") == ["a.json"]
    assert storage.fs.find(storage.root) == [f"{storage.root}/a.json"]


def test_a_listing_of_many_pages_is_whole(storage: Storage, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one_page = S3._list_page
    monkeypatch.setattr(S3, "_list_page", lambda self, bucket, **named: one_page(self, bucket, **named, MaxKeys=2))
    for name in "edcba":
        storage.write(f"jobs/{name}.json", b"")
        storage.write(f"jobs/deep/{name}/file", b"")
    expected = ["a.json", "b.json", "c.json", "d.json", "deep", "e.json"]
    assert storage.names("jobs") == expected
    assert len(storage.files("jobs")) == 10
    with counted(s3) as requests:
        assert sorted(storage.each_name("jobs")) == expected
    assert requests["list"] == 3
