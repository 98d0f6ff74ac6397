"""Local disks: files after a crash, locks, hard links, and errors that name the path."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adreel.errors import StorageError
from adreel.storage import Storage
from tests.storage.contract import finished


@pytest.fixture
def blocked(tmp_path: Path) -> Storage:
    """Return a storage whose folder is a file. Permissions would not stop root."""
    (tmp_path / "outputs").write_text("a file")
    return Storage(str(tmp_path / "outputs"))


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


UPDATE = """
import sys
from adreel.storage import Storage
from tests.storage.contract import finished

storage = Storage(sys.argv[1])
for _ in range(50):
    storage.update("count.json", lambda old: str(int(old or b"0") + 1).encode())
"""


def test_no_update_of_another_process_is_lost(storage: Storage) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", UPDATE, storage.url]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert storage.read("count.json") == b"100"


def test_a_lock_ends_with_the_process_that_held_it_and_leaves_no_file(storage: Storage) -> None:
    code = "import os, signal\nfrom adreel.storage import Storage\n"
    code += f"Storage({storage.url!r}).update('a.json', lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert list(Path(storage.root).iterdir()) == []
    assert storage.update("a.json", lambda _: b"new") == b"new"


def test_a_disk_without_locks_is_updated_all_the_same(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_handle: int, _kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert storage.update("a.json", lambda _: b"new") == b"new"
