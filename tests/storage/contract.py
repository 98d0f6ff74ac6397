"""The guarantees that adreel needs of a storage, as a test class for any backend:

    class TestMine(StorageContract):
        @pytest.fixture
        def open_storage(self):
            return lambda: Storage("mine://an/empty/folder", {"option": 1})

Class variables name the guarantees that a backend can't give; the table of docs/storage.md lists them.
"""

import errno
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event
from typing import ClassVar

import httpx
import pytest

from adreel.errors import StorageError
from adreel.storage import Storage

OpenStorage = Callable[[], Storage]
EVERY_CHARACTER = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
WRITERS = 6
ROUNDS = 5


class StorageContract:
    """Each test opens the storage in an empty folder of its own."""

    exclusive: ClassVar[bool] = True
    """Of several concurrent publishers, exactly one gets True."""
    conditional: ClassVar[bool] = True
    """No update of a concurrent writer is lost."""
    large: ClassVar[int] = 200_000_000

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        """Return a function that opens the same empty folder anew at each call, as another process does."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self, open_storage: OpenStorage) -> Storage:
        return open_storage()

    @pytest.mark.parametrize("content", [b"", b"\x00\xff", b"x" * 200_000], ids=["empty", "binary", "large"])
    def test_what_is_written_is_read(self, storage: Storage, content: bytes) -> None:
        storage.write("a/b/c.json", content)
        assert storage.exists("a/b/c.json")
        assert storage.size("a/b/c.json") == len(content)
        assert storage.read("a/b/c.json") == content

    def test_a_write_replaces_the_whole_file(self, storage: Storage) -> None:
        storage.write("a.json", b"long, long ago")
        storage.write("a.json", b"new")
        assert storage.read("a.json") == b"new"

    def test_what_is_missing_is_not_found(self, storage: Storage) -> None:
        assert not storage.exists("a/b.json")
        for look in (storage.read, storage.open, storage.size):
            with pytest.raises(FileNotFoundError):
                look("a/b.json")

    def test_another_process_sees_at_once_what_is_written_published_and_removed(
        self, storage: Storage, open_storage: OpenStorage, tmp_path: Path
    ) -> None:
        other = open_storage()
        for number in range(3):
            assert other.names("jobs") == [f"{earlier}.json" for earlier in range(number)]
            storage.write(f"jobs/{number}.json", b"")
            assert other.exists(f"jobs/{number}.json")
        storage.publish(finished(tmp_path, b"clip"), "clip.mp4")
        assert other.names("") == ["clip.mp4", "jobs"]
        storage.remove("jobs/1.json")
        assert not other.exists("jobs/1.json")
        assert other.names("jobs") == ["0.json", "2.json"]

    def test_names_are_sorted_and_those_of_one_folder(self, storage: Storage) -> None:
        for path in ("jobs/b.json", "jobs/a.json", "jobs/deep/c.json", "other/d.json"):
            storage.write(path, b"")
        assert storage.names("jobs") == ["a.json", "b.json", "deep"]
        assert storage.names("") == ["jobs", "other"]
        assert sorted(storage.each_name("jobs")) == ["a.json", "b.json", "deep"]
        assert sorted(storage.each_name("")) == ["jobs", "other"]

    def test_files_are_all_those_below_a_folder(self, storage: Storage) -> None:
        for path in ("jobs/b.json", "jobs/a/deep/d.json", "jobs/a/c.json", "jobs2/e.json", "jobs.json", "jobs/.hidden"):
            storage.write(path, b"")
        assert storage.files("jobs") == ["a/c.json", "a/deep/d.json", "b.json"]
        assert storage.files("jobs/a") == ["c.json", "deep/d.json"]

    def test_an_empty_folder_can_be_removed_and_a_full_one_stays(self, storage: Storage) -> None:
        for path in ("changes/old/a", "changes/new/b"):
            storage.write(path, b"")
        storage.remove("changes/old/a")
        for folder in ("changes/old", "changes/new", "changes/none"):
            storage.remove_folder(folder)
        assert storage.names("changes") == ["new"]
        assert storage.files("changes") == ["new/b"]

    @pytest.mark.parametrize("folder", ["", "jobs"], ids=["root", "folder"])
    def test_a_folder_that_is_missing_has_no_names(self, storage: Storage, folder: str) -> None:
        assert storage.names(folder) == list(storage.each_name(folder)) == []
        assert storage.files(folder) == []

    def test_every_character_that_an_id_may_have_is_kept(self, storage: Storage, tmp_path: Path) -> None:
        ids = [EVERY_CHARACTER, "-", "_", "a", "A", "a-", "a_", "-a"]
        for each in ids:
            storage.write(f"sessions/{each}/takes/hook/{each}.json", each.encode())
            storage.publish(finished(tmp_path, each.encode()), f"{each}_hook_0123abcd.mp4")
        assert storage.names("sessions") == sorted(ids)
        for each in ids:
            assert storage.names(f"sessions/{each}/takes/hook") == [f"{each}.json"]
            assert storage.read(f"sessions/{each}/takes/hook/{each}.json") == each.encode()
            assert storage.read(f"{each}_hook_0123abcd.mp4") == each.encode()

    def test_more_names_than_a_page_of_a_listing_holds_are_all_listed(self, storage: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: storage.write(f"jobs/{number}.json", b""), range(40)))
        assert len(storage.names("jobs")) == 40

    def test_ranges_are_read(self, storage: Storage, tmp_path: Path) -> None:
        content = bytes(range(256)) * 20_000
        storage.publish(finished(tmp_path, content), "clip.mp4")
        with storage.open("clip.mp4") as stream:
            for begin, length in ((4, 3), (0, 1), (4_999_999, 50), (len(content) - 5, 100), (len(content), 1), (1, 0)):
                assert stream.seek(begin) == begin
                assert stream.read(length) == content[begin : begin + length]
            assert stream.seek(-7, 2) == len(content) - 7
            assert stream.read() == content[-7:]

    def test_two_readers_of_one_file_are_apart(self, storage: Storage, tmp_path: Path) -> None:
        storage.publish(finished(tmp_path, b"0123456789"), "clip.mp4")
        with storage.open("clip.mp4") as one, storage.open("clip.mp4") as two:
            one.seek(4)
            assert (two.read(2), one.read(2)) == (b"01", b"45")

    def test_publish_never_overwrites(self, storage: Storage, open_storage: OpenStorage, tmp_path: Path) -> None:
        assert storage.publish(finished(tmp_path, b"first"), "clip.mp4")
        for again in (storage, open_storage()):
            assert not again.publish(finished(tmp_path, b"second"), "clip.mp4")
        assert storage.read("clip.mp4") == b"first"

    def test_a_large_file_does_not_overwrite_a_small_one(self, storage: Storage, tmp_path: Path) -> None:
        assert storage.publish(finished(tmp_path, b"first"), "clip.mp4")
        assert not storage.publish(finished(tmp_path, b"x" * 20_000_000), "clip.mp4")
        assert storage.read("clip.mp4") == b"first"
        assert storage.leftovers(datetime.now(UTC) + timedelta(days=1)) == []

    @pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["0 B", "200 MB"])
    def test_the_smallest_and_the_largest_file_come_back_as_they_were(
        self, storage: Storage, large: bool, tmp_path: Path
    ) -> None:
        source, digest = patterned(tmp_path, self.large if large else 0)
        assert storage.publish(source, "clip.mp4")
        source.unlink()
        assert storage.size("clip.mp4") == (self.large if large else 0)
        # At once, not in pieces: moto copies the whole object for each of them.
        assert hashlib.sha256(storage.read("clip.mp4")).hexdigest() == digest

    def test_of_many_publishers_at_once_exactly_one_wins(self, open_storage: OpenStorage, tmp_path: Path) -> None:
        for number in range(ROUNDS):
            sources = [finished(tmp_path, str(writer).encode() * 1000) for writer in range(WRITERS)]
            won = self._publish_at_once(open_storage, sources, f"{number}.mp4")
            self._check_winner(open_storage(), sources, won, f"{number}.mp4")

    def test_of_many_publishers_of_large_files_exactly_one_wins(
        self, open_storage: OpenStorage, tmp_path: Path
    ) -> None:
        sources = [finished(tmp_path, str(writer).encode() * 9_000_000) for writer in range(3)]
        won = self._publish_at_once(open_storage, sources, "clip.mp4")
        self._check_winner(open_storage(), sources, won, "clip.mp4")

    def _publish_at_once(self, open_storage: OpenStorage, sources: list[Path], path: str) -> list[bool]:
        barrier = Barrier(len(sources))

        def publish(source: Path) -> bool:
            storage = open_storage()
            barrier.wait(30)
            return storage.publish(source, path)

        with ThreadPoolExecutor(len(sources)) as pool:
            return list(pool.map(publish, sources))

    def _check_winner(self, storage: Storage, sources: list[Path], won: list[bool], path: str) -> None:
        contents = [source.read_bytes() for source in sources]
        if self.exclusive:
            assert won.count(True) == 1
            assert storage.read(path) == contents[won.index(True)]
        assert storage.read(path) in contents

    def test_an_update_makes_what_it_makes_of_what_is_there(self, storage: Storage) -> None:
        seen = []

        def append(old: bytes | None) -> bytes:
            seen.append(old)
            return (old or b"") + b"x"

        assert [storage.update("a/b.json", append) for _ in range(3)] == [b"x", b"xx", b"xxx"]
        assert seen == [None, b"x", b"xx"]
        assert storage.read("a/b.json") == b"xxx"

    def test_an_update_may_leave_all_as_it_is(self, storage: Storage) -> None:
        assert storage.update("a.json", lambda _: None) is None
        assert not storage.exists("a.json")
        storage.write("a.json", b"old")
        assert storage.update("a.json", lambda _: None) == b"old"
        assert storage.read("a.json") == b"old"

    def test_what_an_update_raises_is_raised_and_nothing_is_written(self, storage: Storage) -> None:
        def refuse(_old: bytes | None) -> bytes:
            raise StorageError("not this one")

        storage.write("a.json", b"old")
        with pytest.raises(StorageError, match=r"^not this one$"):
            storage.update("a.json", refuse)
        assert storage.read("a.json") == b"old"

    def test_no_update_of_another_writer_is_lost(self, open_storage: OpenStorage) -> None:
        if not self.conditional:
            pytest.skip("this backend can't")

        def count(_writer: int) -> None:
            storage = open_storage()
            for _ in range(ROUNDS):
                storage.update("count.json", lambda old: str(int(old or b"0") + 1).encode())

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(count, range(WRITERS)))
        assert open_storage().read("count.json") == str(WRITERS * ROUNDS).encode()

    def test_a_reader_sees_the_old_or_the_new_never_a_part(self, open_storage: OpenStorage) -> None:
        contents, over = [letter * 100_000 for letter in (b"a", b"b")], Event()
        open_storage().write("a.json", contents[0])

        def write() -> None:
            storage = open_storage()
            for number in range(20):
                storage.write("a.json", contents[number % 2])
            over.set()

        with ThreadPoolExecutor(1) as pool:
            writing, storage = pool.submit(write), open_storage()
            while not over.is_set() and not writing.done():
                assert storage.read("a.json") in contents
            writing.result()

    def test_what_is_removed_is_gone_and_its_name_is_free(self, storage: Storage, tmp_path: Path) -> None:
        storage.publish(finished(tmp_path, b"first"), "clip.mp4")
        storage.remove("clip.mp4")
        storage.remove("clip.mp4")
        assert not storage.exists("clip.mp4")
        assert storage.names("") == []
        assert storage.publish(finished(tmp_path, b"second"), "clip.mp4")
        assert storage.read("clip.mp4") == b"second"

    def test_a_source_that_is_gone_is_an_error_and_publishes_nothing(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="ADREEL_STORAGE"):
            storage.publish(tmp_path / "gone.mp4", "clip.mp4")
        assert storage.names("") == []

    def test_a_source_that_is_cut_while_it_is_read_is_not_published_in_part(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        source = finished(tmp_path, b"x" * 12_000_000)
        try:
            storage.publish(_Shrinking(source), "clip.mp4")
        except StorageError:
            assert storage.names("") == []
            assert storage.leftovers(datetime.now(UTC) + timedelta(days=1)) == []
        else:
            assert storage.read("clip.mp4") == b"x" * 12_000_000

    def test_a_full_disk_under_the_workspace_is_trouble_of_the_storage(self, storage: Storage) -> None:
        with pytest.raises(StorageError, match=r"clip\.mp4: No space left"), storage.workspace() as folder:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "clip.mp4"))

    def test_a_signed_url_gives_the_bytes_and_there_may_be_none(self, storage: Storage, tmp_path: Path) -> None:
        storage.publish(finished(tmp_path, b"0123456789"), "clip.mp4")
        url = storage.sign("clip.mp4", 60)
        if url is None:
            return
        assert httpx.get(url).content == b"0123456789"
        assert httpx.get(url, headers={"Range": "bytes=2-3"}).content == b"23"

    def test_a_file_is_published_out_of_the_workspace_that_is_then_gone(self, storage: Storage) -> None:
        with storage.workspace() as folder:
            storage.publish(finished(folder, b"clip"), "clip.mp4")
        assert not folder.exists()
        assert storage.read("clip.mp4") == b"clip"
        assert storage.names("") == ["clip.mp4"]

    def test_a_workspace_is_cleaned_after_an_error(self, storage: Storage) -> None:
        folders: list[Path] = []

        def break_down() -> None:
            with storage.workspace() as folder:
                folders.append(finished(folder, b"half a clip").parent)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            break_down()
        assert not folders[0].exists()
        assert storage.names("") == []

    def test_two_workspaces_are_apart_and_the_first_to_end_leaves_the_other(self, storage: Storage) -> None:
        with storage.workspace() as first:
            with storage.workspace() as second:
                assert first != second
            assert first.is_dir()

    def test_good_use_leaves_nothing_over(self, storage: Storage, tmp_path: Path) -> None:
        storage.write("a.json", b"1")
        storage.update("a.json", lambda _: b"2")
        storage.publish(finished(tmp_path, b"x" * 20_000_000), "clip.mp4")
        assert storage.leftovers(datetime.now(UTC) + timedelta(days=1)) == []


class _Cut(io.FileIO):
    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        os.truncate(str(self.name), len(piece) + 1)
        return piece


class _Shrinking(type(Path())):  # type: ignore[misc]
    """A file that is truncated after the first read."""

    def open(self, *_: object, **__: object) -> io.FileIO:
        return _Cut(self)


def finished(folder: Path, content: bytes) -> Path:
    """Create a file to publish."""
    path = folder / f"{len(list(folder.iterdir()))}.mp4"
    path.write_bytes(content)
    return path


def patterned(folder: Path, size: int) -> tuple[Path, str]:
    """Create a file without repeating blocks; return it and its SHA-256."""
    path, digest = folder / "patterned.mp4", hashlib.sha256()
    with path.open("wb") as stream:
        for number in range(0, size, 1_000_000):
            piece = (number.to_bytes(8, "big") * 125_000)[: size - number]
            digest.update(piece)
            stream.write(piece)
    return path, digest.hexdigest()
