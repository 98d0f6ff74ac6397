"""The folder of a studio: its lock, leftovers of a killed studio, and temporary files."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from adreel.deployments.auth import make_private
from adreel.deployments.studio_folder import STUDIO_VARIABLE, TEMPORARY_PATH_BYTES, locked, temporary_folder
from adreel.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_private(tmp_path / "studio")
    return tmp_path / "studio"


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"can't create .*/file/studio: Not a directory: choose another --folder"):
        make_private(tmp_path / "file" / "studio")


def test_what_a_killed_studio_has_left_is_ended_by_its_mark_and_never_by_its_name(folder: Path, tmp_path: Path) -> None:
    def sleeping(mark: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["sleep", "120"], env={**os.environ, STUDIO_VARIABLE: str(mark)})

    left, others, twin = sleeping(folder), sleeping(tmp_path / "another"), sleeping(Path(f"{folder}-2"))
    try:
        with locked(folder):
            assert left.wait(10) == -15
            assert others.poll() is None
            assert twin.poll() is None
    finally:
        for process in (left, others, twin):
            process.kill()
            process.wait()


def test_a_second_studio_ends_nothing_of_the_first(folder: Path) -> None:
    with locked(folder):
        with subprocess.Popen(["sleep", "120"], env={**os.environ, STUDIO_VARIABLE: str(folder)}) as service:
            with pytest.raises(InputError, match="a studio runs in"), locked(folder):
                pytest.fail("both have the lock")
            assert service.poll() is None
            service.kill()
        assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["short", "long"])
def test_temporary_files_have_a_private_place_that_goes_with_the_studio(tmp_path: Path, name: str) -> None:
    folder = tmp_path / (name * 20 if name == "long" else name)
    make_private(folder)
    with temporary_folder(folder) as place:
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert len(os.fsencode(place)) <= TEMPORARY_PATH_BYTES
        (place / "file").touch()
    assert not place.exists()
    assert list(folder.iterdir()) == []


def test_temporary_files_of_a_killed_studio_go_with_the_next(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    make_private(folder)
    killed = temporary_folder(folder)
    left = killed.__enter__()
    (left / "half a clip").touch()
    with temporary_folder(folder) as place:
        assert place != left
        assert not left.exists()
        assert list(place.iterdir()) == []
