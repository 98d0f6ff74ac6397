"""Prefect's embedded server: only its own process can use it, and each failure has a reason."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import yaml

from adreel.settings.prefect_server import may_name_server
from tests.factories import session_data

ASK = """
import os

import httpx
from prefect.client.orchestration import get_client
from adreel.orchestration.embedded_server import is_embedded, start_embedded_server

start_embedded_server()
first = os.environ["PREFECT_API_URL"]
start_embedded_server()
assert is_embedded()
assert os.environ["PREFECT_API_URL"] == first
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


BEGIN = """
import sys
from adreel.orchestration.embedded_server import begin_embedded_server, is_embedded, start_embedded_server

assert begin_embedded_server() is (len(sys.argv) == 1)
assert "prefect" not in sys.modules
if len(sys.argv) == 1:
    from adreel.orchestration import embedded_server
    begun = embedded_server._server.process.pid
    start_embedded_server()
    assert embedded_server._server.process.pid == begun
    embedded_server._server.process.kill()
    embedded_server._server.process.wait()
    start_embedded_server()
    assert embedded_server._server.process.pid != begun
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        print(client.api_version())
"""


@pytest.mark.slow
def test_it_begins_before_prefect_is_imported_and_is_replaced_when_it_has_died(tmp_path: Path) -> None:
    Path("begin.py").write_text(BEGIN)
    ran = run([sys.executable, "-P", "begin.py"], str(tmp_path / "home"))
    assert ran.returncode == 0, ran.stderr
    assert re.match(r"3\.", ran.stdout)


TERMINATED = """
import time
from adreel.orchestration import embedded_server

with embedded_server.ending_on_sigterm(at_once=True):
    embedded_server.begin_embedded_server()
    print(embedded_server._server.process.pid, flush=True)
    time.sleep(60)
"""


def test_a_command_that_is_terminated_while_it_starts_leaves_no_server(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", TERMINATED], env=environment, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        server = psutil.Process(int(command.stdout.readline()))
        command.terminate()
        assert command.wait(60) == -signal.SIGTERM
        server.wait(60)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".env", "PREFECT_API_URL=http://127.0.0.1:9/api"),
        (".env", "PREFECT_PROFILE=team"),
        (".env", "PREFECT_HOME=elsewhere"),
        ("prefect.toml", "[api]"),
        ("pyproject.toml", "[tool.prefect.api]"),
        ("home/profiles.toml", '[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:9/api"'),
    ],
)
def test_no_server_begins_where_prefect_s_settings_may_name_another(file: str, content: str) -> None:
    Path("home").mkdir()
    environment = {"PREFECT_HOME": "home"}
    assert not may_name_server(environment)
    assert may_name_server({**environment, "PREFECT_API_URL": "http://127.0.0.1:9/api"})
    Path(file).write_text(content)
    assert may_name_server(environment)
    Path(file).write_bytes(b"\xff" if file != ".env" else content.encode())
    assert may_name_server(environment)


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
