"""The folder of a studio: private, locked by one studio at a time, with a temporary folder of its own.

Prefect uses fixed names for temporary files. In `/tmp` they would belong to the first user of the machine.
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

from adreel.deployments.services import POLL_SECONDS, STOP_SECONDS
from adreel.errors import InputError

# The environment of every process of a studio has the path of its folder in this variable.
STUDIO_VARIABLE = "ADREEL_STUDIO"
# A Unix socket's path has at most 107 bytes. Sockets of the worker and the database add some 40 bytes to this one.
TEMPORARY_PATH_BYTES = 60


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder, and end leftover processes of a killed studio. Raises InputError if a studio runs there."""
    with os.fdopen(os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"a studio runs in {folder} already: end it, or choose another --folder") from None
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS
            left = _processes_of(folder)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            while left and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                left = _processes_of(folder)
        yield


def _processes_of(folder: Path) -> list[int]:
    """List the processes with the studio's folder in their environment; without /proc, none."""
    mark = f"{STUDIO_VARIABLE}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty private folder with a short path, and remove it afterwards."""
    place = folder / "tmp"
    _remove(place)
    if len(os.fsencode(place)) <= TEMPORARY_PATH_BYTES:
        place.mkdir(mode=0o700)
        used = place
    else:
        used = Path(tempfile.mkdtemp(prefix="adreel-"))
        # The next studio here removes the folder of a killed one.
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
