"""The secret of a studio's Prefect: its file, and the commands that find it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import psutil
import pytest

from adreel.deployments.auth import API_AUTH, API_URL, auth_file, keep_auth, make_private, use_auth, use_studio
from adreel.deployments.studio_folder import locked
from adreel.emulator import LocalRunware
from adreel.errors import InputError
from tests.factories import make_session
from tests.test_cli import ADREEL
from tests.workers import until

URL = "http://localhost:4200/api"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_private(tmp_path / ".adreel")
    return tmp_path / ".adreel"


def test_the_secret_is_made_once_and_is_private(folder: Path) -> None:
    first = keep_auth(folder, URL)
    assert keep_auth(folder, "http://localhost:4300/api") == first
    assert keep_auth(folder.parent, URL) != first
    assert stat.S_IMODE(auth_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o622])
def test_a_secret_that_others_could_read_or_write_is_made_anew(folder: Path, mode: int) -> None:
    first = keep_auth(folder, URL)
    auth_file(folder).chmod(mode)
    assert keep_auth(folder, URL) != first


def test_a_secret_behind_a_link_is_not_taken(folder: Path, tmp_path: Path) -> None:
    first = keep_auth(folder, URL)
    auth_file(folder).rename(tmp_path / "elsewhere")
    auth_file(folder).symlink_to(tmp_path / "elsewhere")
    assert keep_auth(folder, URL) != first
    assert not auth_file(folder).is_symlink()


def test_a_shell_reads_what_it_needs(folder: Path) -> None:
    auth = keep_auth(folder, URL)
    words = f'. {auth_file(folder)} && env | grep -c "^{API_URL}={URL}$\\|^{API_AUTH}={auth}$"'
    assert subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True).stdout == "2\n"


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:4200/api", "http://localhost:4200/api/"])
def test_a_command_in_the_folder_finds_the_secret(folder: Path, url: str) -> None:
    auth = keep_auth(folder, URL)
    environment = {API_URL: url}
    use_auth(environment)
    assert environment[API_AUTH] == auth


def test_the_address_may_be_in_a_dotenv_file(folder: Path) -> None:
    auth = keep_auth(folder, URL)
    Path(".env").write_text(f"{API_URL}={URL}\n")
    environment: dict[str, str] = {}
    use_auth(environment)
    assert environment[API_AUTH] == auth


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {API_URL: ""},
        {API_URL: "http://localhost:4201/api"},
        {API_URL: "https://prefect.example:4200/api"},
        {API_URL: "http://localhost:port/api"},
        {API_URL: "http://[::1"},
        {API_URL: URL, API_AUTH: "somebody:else"},
    ],
)
def test_no_other_server_gets_the_secret(folder: Path, environment: dict[str, str]) -> None:
    keep_auth(folder, URL)
    before = dict(environment)
    use_auth(environment)
    assert environment == before


def test_a_dotenv_file_that_is_no_text_changes_nothing(folder: Path) -> None:
    keep_auth(folder, URL)
    Path(".env").write_bytes(b"\xff\xfe")
    environment: dict[str, str] = {}
    use_auth(environment)
    assert not environment


class Health(BaseHTTPRequestHandler):
    """Answers as Prefect does, and fails the test if it is sent a password."""

    def do_GET(self) -> None:
        is_good = self.path == "/api/health" and "Authorization" not in self.headers
        self.send_response(200 if is_good else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}/api"
        server.shutdown()
        thread.join()


def test_the_studio_that_runs_in_the_folder_is_used(folder: Path, url: str, tmp_path: Path) -> None:
    auth, environment = keep_auth(folder, url), {"PREFECT_HOME": str(tmp_path)}
    with locked(folder):
        assert use_studio(environment) == url
        assert environment == {"PREFECT_HOME": str(tmp_path), API_URL: url, API_AUTH: auth}
        assert use_studio(environment) is None
        # The lock is free for the next studio at once.
    with locked(folder):
        pass


@pytest.mark.parametrize("why", ["ended", "does not answer", "open to others", "other server", "no server", "profile"])
def test_a_studio_that_does_not_run_or_is_not_wanted_is_not_used(
    folder: Path, url: str, tmp_path: Path, why: str
) -> None:
    keep_auth(folder, "http://localhost:9/api" if why == "does not answer" else url)
    environment = {"PREFECT_HOME": str(tmp_path)}
    environment |= {"other server": {API_URL: URL}, "no server": {API_URL: ""}}.get(why, {})
    if why == "open to others":
        auth_file(folder).chmod(0o644)
    if why == "profile":
        (tmp_path / "profiles.toml").write_text(f'[profiles.team]\n{API_URL} = "https://prefect.example/api"')
    before = dict(environment)
    with locked(folder) if why != "ended" else nullcontext():
        assert use_studio(environment) is None
    assert environment == before


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    make_private(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700


@pytest.mark.slow
def test_the_embedded_server_of_a_command_is_closed_too(runware: LocalRunware) -> None:
    runware.inject("neverEnds:hookx*")
    session = make_session(seconds=1)
    Path("ad.json").write_text(session.model_dump_json())
    environment = {**os.environ, "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    environment |= {API_URL: "", "PREFECT_HOME": str(Path("prefect").absolute())}
    command: list[str | Path] = [ADREEL, "generate", "ad.json", "--scene", "hook"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            port = until(lambda: served_below(psutil.Process(process.pid)), "the embedded server")
            # Its first question is answered, and its first task is bought.
            until(lambda: runware.ledger.entries, "a purchase")
            url = f"http://127.0.0.1:{port}/api"
            answer = httpx.post(f"{url}/flow_runs/filter", content=b"{}", headers={"Content-Type": "text/plain"})
            assert answer.status_code == 401
            assert httpx.get(f"{url}/health").json() is True
        finally:
            process.terminate()
            process.communicate(timeout=60)


def served_below(process: psutil.Process) -> int | None:
    """Return the port on which a child of a process listens."""
    for child in process.children(recursive=True):
        for connection in child.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(InputError, match="belongs to another user: choose another --folder"):
        make_private(tmp_path / "theirs")
