"""Prefect's embedded server: only its own process can use it, and each failure has a reason."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.factories import session_data

ASK = """
import httpx
from prefect.client.orchestration import get_client
from adreel.orchestration.embedded_server import start_embedded_server

start_embedded_server()
start_embedded_server()
with get_client(sync_client=True) as client:
    print(client.api_version())
    url = str(client.api_url).rstrip("/")
print(httpx.get(f"{url}/admin/version").status_code)
event = httpx.post(f"{url}/events", content=b"[]", headers={"Content-Type": "text/plain", "Origin": "http://evil.example"})
print(event.status_code)
"""


def run(command: list[str | Path], home: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    # Other tests keep the machine busy.
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    return subprocess.run(
        command,
        env={**environment, "PREFECT_HOME": home, "RUNWARE_API_KEY": "", "ADREEL_MODEL": "bytedance:2@2"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_nobody_else_may_use_it(tmp_path: Path) -> None:
    # Modules of the current folder must not shadow the server's modules.
    Path("prefect").mkdir()
    Path("prefect", "__init__.py").write_text("raise SystemExit('imported from the current folder')")
    Path("ask.py").write_text(ASK)
    ran = run([sys.executable, "-P", "ask.py"], str(tmp_path / "home"))
    assert ran.returncode == 0, ran.stderr
    version, *statuses = ran.stdout.split()
    assert re.match(r"3\.", version), ran.stderr
    assert statuses == ["401", "401"]


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["a newer database", "a home that can't be written"])
def test_a_failure_has_a_reason_and_a_way_out(broken: str, tmp_path: Path) -> None:
    home = "/proc/nowhere"
    if broken == "a newer database":
        home = str(tmp_path)
        with closing(sqlite3.connect(tmp_path / "prefect.db")) as database, database:
            database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    Path("ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    ran = run([Path(sys.executable).with_name("adreel"), "generate", "ad.yaml"], home)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    if broken == "a newer database":
        assert f"{home} is of a newer Prefect: set PREFECT_HOME to another folder" in ran.stderr
        assert "Can't locate revision identified by 'ffffffffffff'" in ran.stderr
    else:
        assert f"{home} can't be written: set PREFECT_HOME" in ran.stderr
        assert "unable to open database file" in ran.stderr
