"""The contract of a storage, on a local disk and on an object store's stand-in; then what only a disk promises."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest

from adreel.errors import StorageError
from adreel.storage import Storage


@pytest.fixture(params=["local", "memory"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage(str(tmp_path / "outputs"))
        return
    storage = Storage(f"memory://{uuid4().hex}")
    yield storage
    if storage.fs.exists(storage.root):
        storage.fs.rm(storage.root, recursive=True)


@pytest.fixture
def blocked(tmp_path: Path) -> Storage:
    """Give a storage whose folder is a file (root may write anywhere, so permissions show nothing)."""
    (tmp_path / "outputs").write_text("a file")
    return Storage(str(tmp_path / "outputs"))


def finished(folder: Path, content: bytes) -> Path:
    path = folder / f"{uuid4().hex}.mp4"
    path.write_bytes(content)
    return path


def content_of(storage: Storage, path: str) -> bytes:
    with storage.open(path) as stream:
        return stream.read()


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"x" * 200_000], ids=["empty", "binary", "large"])
def test_what_is_written_is_read(any_storage: Storage, content: bytes) -> None:
    any_storage.write("a/b/c.json", content)
    assert any_storage.exists("a/b/c.json")
    assert any_storage.read("a/b/c.json") == content


def test_a_write_replaces_the_whole_file(any_storage: Storage) -> None:
    any_storage.write("a.json", b"long, long ago")
    any_storage.write("a.json", b"new")
    assert any_storage.read("a.json") == b"new"


def test_what_is_missing_is_not_found(any_storage: Storage) -> None:
    assert not any_storage.exists("a/b.json")
    with pytest.raises(FileNotFoundError):
        any_storage.read("a/b.json")
    with pytest.raises(FileNotFoundError):
        any_storage.open("a/b.json")


def test_names_are_sorted_and_those_of_one_folder(any_storage: Storage) -> None:
    for path in ("jobs/b.json", "jobs/a.json", "jobs/deep/c.json", "other/d.json"):
        any_storage.write(path, b"")
    assert any_storage.names("jobs") == ["a.json", "b.json", "deep"]
    assert any_storage.names("") == ["jobs", "other"]


@pytest.mark.parametrize("folder", ["", "jobs"], ids=["root", "folder"])
def test_a_folder_that_is_missing_has_no_names(any_storage: Storage, folder: str) -> None:
    assert any_storage.names(folder) == []


def test_a_published_file_is_read_with_seek(any_storage: Storage, tmp_path: Path) -> None:
    assert any_storage.publish(finished(tmp_path, b"0123456789"), "clip.mp4")
    with any_storage.open("clip.mp4") as stream:
        stream.seek(4)
        assert stream.read(3) == b"456"


def test_publish_never_overwrites(any_storage: Storage, tmp_path: Path) -> None:
    assert any_storage.publish(finished(tmp_path, b"first"), "clip.mp4")
    assert not any_storage.publish(finished(tmp_path, b"second"), "clip.mp4")
    assert content_of(any_storage, "clip.mp4") == b"first"


def test_a_file_is_published_out_of_the_workspace_that_is_then_gone(any_storage: Storage) -> None:
    with any_storage.workspace() as folder:
        any_storage.publish(finished(folder, b"clip"), "clip.mp4")
    assert not folder.exists()
    assert content_of(any_storage, "clip.mp4") == b"clip"
    assert any_storage.names("") == ["clip.mp4"]


def test_a_workspace_is_cleaned_after_an_error(any_storage: Storage) -> None:
    folders: list[Path] = []

    def break_down() -> None:
        with any_storage.workspace() as folder:
            folders.append(finished(folder, b"half a clip").parent)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_down()
    assert not folders[0].exists()
    assert any_storage.names("") == []


def test_two_workspaces_are_apart_and_the_first_to_end_leaves_the_other(any_storage: Storage) -> None:
    with any_storage.workspace() as first:
        with any_storage.workspace() as second:
            assert first != second
        assert first.is_dir()


def test_a_storage_that_nobody_knows_is_named() -> None:
    with pytest.raises(StorageError, match="ADREEL_STORAGE is 'nowhere://x'"):
        Storage("nowhere://x")


def test_people_are_told_a_file_name_on_a_disk_and_a_url_elsewhere(tmp_path: Path) -> None:
    assert Storage(str(tmp_path)).location("a/b.mp4") == str(tmp_path / "a/b.mp4")
    assert Storage("memory://bucket").location("a/b.mp4") == "memory:///bucket/a/b.mp4"


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda storage, _source: storage.write("a.json", b""), id="write"),
        pytest.param(lambda storage, source: storage.publish(source, "clip.mp4"), id="publish"),
        pytest.param(lambda storage, _source: storage.workspace().__enter__(), id="workspace"),
        pytest.param(lambda storage, _source: storage.read("a.json"), id="read"),
        pytest.param(lambda storage, _source: storage.open("a.json"), id="open"),
        pytest.param(lambda storage, _source: storage.names("jobs"), id="names"),
    ],
)
def test_an_unusable_folder_is_named_with_the_setting(
    blocked: Storage, tmp_path: Path, use: Callable[[Storage, Path], object]
) -> None:
    source = finished(tmp_path, b"clip")
    with pytest.raises(StorageError, match=rf"{blocked.root}.*: .*ADREEL_STORAGE"):
        use(blocked, source)


def test_a_folder_where_a_file_should_be_is_a_storage_error(storage: Storage) -> None:
    storage.write("a/b.json", b"")
    with pytest.raises(StorageError, match="ADREEL_STORAGE"):
        storage.read("a")
    with pytest.raises(StorageError, match="ADREEL_STORAGE"):
        storage.write("a", b"")


@pytest.mark.parametrize("killed", [False, True], ids=["an error", "a kill that leaves no time to clean up"])
def test_a_crash_before_the_rename_leaves_the_old_record(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    storage.write("jobs/a.json", b"old")

    def dies(*_paths: object) -> None:
        raise SystemExit if killed else OSError(28, "No space left on device")

    with monkeypatch.context() as during:
        during.setattr(os, "replace", dies)
        if killed:
            during.setattr(Path, "unlink", lambda *_args, **_options: None)
        with pytest.raises(SystemExit if killed else StorageError):
            storage.write("jobs/a.json", b"new")
    assert storage.read("jobs/a.json") == b"old"
    assert storage.names("jobs") == ["a.json"]
    assert (len(list(Path(storage.location("jobs")).iterdir())) == 1) is not killed


def test_a_crash_before_the_link_publishes_nothing(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_paths: object) -> None:
        raise OSError(28, "No space left on device")

    source = finished(tmp_path, b"clip")
    with monkeypatch.context() as during:
        during.setattr(os, "link", dies)
        with pytest.raises(StorageError, match="No space left"):
            storage.publish(source, "clip.mp4")
    assert storage.names("") == []
    assert storage.publish(source, "clip.mp4")


def test_of_many_publishers_at_once_exactly_one_wins(storage: Storage, tmp_path: Path) -> None:
    barrier = Barrier(8)

    def publish(number: int) -> bool:
        source = finished(tmp_path, str(number).encode())
        barrier.wait()
        return storage.publish(source, "clip.mp4")

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(publish, range(8)))
    assert won.count(True) == 1
    assert content_of(storage, "clip.mp4") == str(won.index(True)).encode()


def test_a_disk_without_hard_links_still_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    storage = Storage(str(tmp_path / "outputs"))
    (tmp_path / "first").write_bytes(b"first")
    (tmp_path / "second").write_bytes(b"second")
    assert storage.publish(tmp_path / "first", "clip.mp4")
    assert not storage.publish(tmp_path / "second", "clip.mp4")
    assert storage.read("clip.mp4") == b"first"
