"""Fetching copies the current clips as they were stored, and overwrites nothing."""

from pathlib import Path

import pytest

from adreel.errors import NotFound, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records import Records
from adreel.records.export import FetchedClip, fetch
from tests.factories import make_session, make_take, store_take


@pytest.fixture
def take(records: Records, tmp_path: Path) -> Take:
    """Give a session whose hook is stored."""
    records.save_session(make_session())
    return store_take(records, make_take(), tmp_path)


def fetched(records: Records, folder: Path) -> FetchedClip:
    [hook, *others] = fetch(records, "ad", folder)
    assert [scene.file for scene in others] == [None, None, None]
    return hook


def test_a_clip_comes_home_as_it_was_stored(records: Records, take: Take, tmp_path: Path) -> None:
    hook = fetched(records, tmp_path / "home")
    assert take.clip is not None
    assert hook == FetchedClip(Scenario.HOOK, tmp_path / "home" / take.clip.file)
    assert hook.file is not None
    assert hook.file.read_bytes() == records.storage.read(take.clip.file)
    assert [file.name for file in (tmp_path / "home").iterdir()] == [take.clip.file]


def test_a_second_fetch_leaves_what_is_there(records: Records, take: Take, tmp_path: Path) -> None:
    fetched(records, tmp_path)
    assert fetched(records, tmp_path).was_there


def test_another_file_of_that_name_is_named_and_stays(records: Records, take: Take, tmp_path: Path) -> None:
    assert take.clip is not None
    mine = tmp_path / take.clip.file
    mine.write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"another file is at .*--to another folder"):
        fetched(records, tmp_path)
    assert mine.read_bytes() == b"mine"


def test_a_changed_clip_is_not_handed_out(records: Records, take: Take, tmp_path: Path) -> None:
    assert take.clip is not None
    Path(records.storage.location(take.clip.file)).write_bytes(b"changed")
    with pytest.raises(StorageError, match="not what was stored: see `adreel verify`"):
        fetched(records, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


def test_a_missing_clip_is_named(records: Records, take: Take, tmp_path: Path) -> None:
    assert take.clip is not None
    records.storage.remove(take.clip.file)
    with pytest.raises(StorageError, match="is missing: see `adreel verify`"):
        fetched(records, tmp_path / "home")


def test_an_unknown_session_is_named(records: Records, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no session 'other'"):
        list(fetch(records, "other", tmp_path))
