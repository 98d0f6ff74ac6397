"""Access to a running studio: web pages in its user's browser and other users are refused, and logs have no secret.

Commands in its folder run in processes that its fork server has forked.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import yaml
from dotenv import dotenv_values
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from adreel.deployments.auth import API_AUTH, API_URL, auth_file
from adreel.deployments.handover import LINK
from adreel.deployments.launcher import LENGTH_BYTES
from tests.factories import session_data
from tests.test_cli import ADREEL
from tests.test_studio import Up, up
from tests.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EVIL = "http://evil.example"
# Requests that a foreign page can send without a preflight.
CROSS_SITE = {
    "/api/events": b"[]",
    "/api/v2/concurrency_limits/increment": b'{"names": ["runware"], "slots": 4}',
    "/api/automations/": b'{"name": "evil", "trigger": {"type": "event", "posture": "Reactive"}, "actions": []}',
    "/api/block_documents/filter": b'{"include_secrets": true}',
    "/api/flow_runs/filter": b"{}",
    "/api/deployments/filter": b"{}",
    "/api/admin/database/clear": b'{"confirm": true}',
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run one studio for all tests of this module."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        patched.setenv("ADREEL_STORAGE", str(home / "outputs"))
        with up(home / ".adreel", "--sqlite") as running:
            yield running


def kept(studio: Up) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(auth_file(studio.folder)).items()}


@pytest.mark.parametrize("path", CROSS_SITE)
@pytest.mark.parametrize("host", ["", "evil.example"])
def test_a_web_page_is_refused(studio: Up, path: str, host: str) -> None:
    url = studio.address("Prefect")
    headers = {"Content-Type": "text/plain", "Origin": EVIL}
    if host:  # A name that leads to loopback by now.
        headers["Host"] = f"{host}:{urlsplit(url).port}"
    answer = httpx.post(f"{url}{path}", content=CROSS_SITE[path], headers=headers, timeout=30)
    assert answer.status_code == 401
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
@pytest.mark.parametrize("protocols", [None, ["prefect"]])
def test_a_web_socket_of_a_page_is_refused(studio: Up, path: str, protocols: list[str] | None) -> None:
    url = studio.address("Prefect").replace("http://localhost", "ws://127.0.0.1")
    try:
        with connect(f"{url}{path}", origin=EVIL, subprotocols=protocols, proxy=None) as socket:  # type: ignore[arg-type]
            socket.send('{"type": "auth", "token": "guessed"}')
            answer = socket.recv(timeout=30)
            assert "auth_success" not in str(answer)
            socket.recv(timeout=30)
    except (ConnectionClosed, InvalidStatus):
        return
    pytest.fail("it stayed open")


def test_a_preflight_of_a_page_is_refused(studio: Up) -> None:
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = httpx.options(f"{studio.address('Prefect')}/api/flow_runs/filter", headers=asked, timeout=30)
    assert not answer.is_success
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_probe_needs_no_secret(studio: Up) -> None:
    assert httpx.get(f"{studio.address('Prefect')}/api/health", timeout=30).json() is True
    assert httpx.get(f"{studio.address('Storyboard')}/readyz", timeout=30).is_success


def test_the_commands_in_its_folder_know_the_secret(studio: Up) -> None:
    environment = {**os.environ, API_URL: kept(studio)[API_URL]}
    environment.pop(API_AUTH, None)
    for command in ("deploy", "doctor"):
        done = subprocess.run(
            [ADREEL, command], cwd=studio.folder.parent, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    elsewhere = subprocess.run([ADREEL, "deploy"], env=environment, capture_output=True, text=True, check=False)
    assert elsewhere.returncode == 1
    assert "401" in elsewhere.stderr


@contextmanager
def rendering(studio: Up, *words: str) -> Iterator[tuple["subprocess.Popen[str]", psutil.Process]]:
    """Run a command until its clips are rendered, and yield it with the process that the fork server has forked."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"RUNWARE_API_KEY": "", "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}
    environment |= {"ADREEL_LOCAL_RENDER_SECONDS": "60", "PREFECT_HOME": str(studio.folder.parent / "home")}
    found = [pid for pid, command in studio.processes().items() if "deployments.fork_server" in command]
    [server] = [pid for pid in found if psutil.Process(pid).ppid() not in found]
    with subprocess.Popen(
        [ADREEL, *words],
        cwd=studio.folder.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = ""
            while "rendering" not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            [forked] = [child for child in psutil.Process(server).children() if child.status() != "zombie"]
            yield process, forked
        finally:
            process.kill()


def is_warm(studio: Up) -> bool:
    """Whether its fork server answers a command."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str((studio.folder / LINK).readlink()))
            client.sendall(bytes(LENGTH_BYTES))
            return client.recv(1) == b"{"
        except OSError:
            return False


def test_a_command_in_its_folder_runs_warm_and_receives_its_signals(studio: Up) -> None:
    (studio.folder.parent / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    until(lambda: is_warm(studio), "the imports of the fork server", 60)
    forks = "adreel.deployments.fork_server"
    until(lambda: sum(forks in each for each in studio.processes().values()) == 1, "the end of the asked process", 20)
    with rendering(studio, "generate", "ad.yaml", "--scene", "hook") as (process, forked):
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 130, said
        assert said.count("interrupted: accepted clips keep rendering") == 1
        assert "cancelled; Runware keeps rendering the clip" in said
        until(lambda: not forked.is_running(), "the end of the forked process", 10)
    with rendering(studio, "resume", "ad") as (process, forked):
        process.kill()
        until(lambda: not forked.is_running(), "the end of the forked process", 10)


def test_the_secret_is_in_no_command_line_and_no_log(studio: Up) -> None:
    secret = kept(studio)[API_AUTH].partition(":")[2]
    assert len(secret) >= 40
    assert secret not in studio.said
    assert str(auth_file(Path(".adreel"))) in studio.said
    assert not [command for command in studio.processes().values() if secret in command]
    for log in (studio.folder / "logs").iterdir():
        assert secret not in log.read_text()
