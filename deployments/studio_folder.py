"""The folder of a studio: closed to other users, held by one studio at a time, with a place for temporary files.

Prefect keeps temporary files under fixed names, which in `/tmp` belong to one user of a machine: a studio has its own.
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adreel.errors import InputError
from deployments.services import LOOK_SECONDS, STOP_SECONDS

MARK = "ADREEL_STUDIO"
# The path of a Unix socket has 107 bytes at most; those of the worker and the database are some 40 longer than this.
TEMPORARY_PATH_BYTES = 60


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder against a second studio, and end what a killed one has left; InputError if one runs there."""
    with os.fdopen(os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"a studio runs in {folder} already: end it, or choose another --folder") from None
        end_leftovers(folder)
        yield


def end_leftovers(folder: Path) -> None:
    """End what a studio that was killed has left running: each process inherits the name of the folder.

    Without /proc nothing is found, and the next studio reports a taken port.
    """
    mark = f"{MARK}={folder}".encode()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        left = _marked(mark)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            left = _marked(mark)


def _marked(mark: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Give an empty private folder with a short path, which goes with the studio."""
    place = folder / "tmp"
    _remove(place)
    if len(os.fsencode(place)) <= TEMPORARY_PATH_BYTES:
        place.mkdir(mode=0o700)
        used = place
    else:
        used = Path(tempfile.mkdtemp(prefix="adreel-"))
        # A studio that is killed leaves it to the next one here.
        place.symlink_to(used)
    try:
        yield used
    finally:
        _remove(place)


def _remove(place: Path) -> None:
    if place.is_symlink():
        target = place.readlink()
        if target.is_dir() and not target.is_symlink() and target.stat().st_uid == os.geteuid():
            shutil.rmtree(target, ignore_errors=True)
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
