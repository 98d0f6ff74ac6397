"""Databases of Prefect's server that are migrated already. The migrations take longer than the start of the server."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import prefect

PREFECT = Path(sys.executable).parent / "prefect"
CACHE = Path(__file__).parent.parent / ".pytest_cache"


def copy_empty_database(to: Path) -> None:
    """Copy a SQLite database with Prefect's tables to a file that must not exist yet."""
    assert not to.exists()
    shutil.copyfile(_empty_database(), to)


def _empty_database() -> Path:
    """Return the database of the installed version, which the first caller on this machine makes."""
    database = CACHE / f"prefect-{prefect.__version__}.db"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            unfinished = database.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            url = f"sqlite+aiosqlite:///{unfinished}"
            subprocess.run(
                [PREFECT, "server", "database", "upgrade", "-y"],
                env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url},
                capture_output=True,
                check=True,
            )
            unfinished.rename(database)
    return database
