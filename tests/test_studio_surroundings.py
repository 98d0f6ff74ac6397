"""`adreel up` on real machines: closed terminals, killed supervisors, other users, folders of other projects."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from dotenv import dotenv_values

from adreel.client import Client
from adreel.deployments.auth import API_AUTH, API_URL, auth_file
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.storage import Storage
from tests.factories import make_session
from tests.test_cli import ADREEL
from tests.test_studio import Up, up
from tests.workers import free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRAP = "raise SystemExit('a module of the user was imported in place of ours')\n"
# Names of modules of this project, of Prefect's entry points, and of the standard library.
THEIRS = [
    "tasks.py",
    "flows.py",
    "flows/__init__.py",
    "deployments/__init__.py",
    "uvicorn.py",
    "secrets.py",
    "prefect/__init__.py",
]
# The folders of this checkout, as another distribution may ship them.
PACKAGES = ("tasks", "flows", "deployments")
ROOT = Path(__file__).parents[1]
NOBODY = 65534
PROXY = "http://127.0.0.1:9"  # No server listens on this port.
NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
BEHIND_A_PROXY = ["env", "-u", "NO_PROXY", "-u", "no_proxy", *(f"{name}={PROXY}" for name in NAMES)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that holds another project, and an earlier path entry with another distribution's packages."""
    home = tmp_path / "another project"
    set_traps(home, *THEIRS)
    set_traps(tmp_path / "another distribution", *(f"{name}/__init__.py" for name in PACKAGES))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "another distribution"))
    (home / "prefect.yaml").write_text("name: theirs\ndeployments: [{name: theirs, entrypoint: flows.theirs:theirs}]\n")
    monkeypatch.chdir(home)
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
    monkeypatch.setenv("ADREEL_SIZE", "128x72")
    monkeypatch.setenv("ADREEL_LOCAL_RENDER_SECONDS", "0.5")
    return home


def set_traps(folder: Path, *names: str) -> None:
    """Write modules whose import ends the process that imports them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TRAP)


@pytest.fixture
def records(home: Path, tmp_path: Path) -> Records:
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session(seconds=1))
    return records


@contextmanager
def terminal() -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the test's end of a terminal, and the arguments that start a process on its other end."""
    ours, theirs = os.openpty()
    try:
        yield (
            ours,
            {
                "stdin": theirs,
                "stdout": theirs,
                "stderr": theirs,
                "start_new_session": True,
                "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            },
        )
    finally:
        os.close(theirs)


def said_on(ours: int, words: str) -> str:
    said = ""
    while words not in said:
        said += os.read(ours, 65536).decode()
    return said


def test_the_other_distribution_comes_first_on_the_path(home: Path) -> None:
    found = subprocess.run([sys.executable, "-P", "-c", "import tasks"], capture_output=True, text=True, check=False)
    assert TRAP.split("'")[1] in found.stderr


def test_the_demo_runs_in_another_projects_folder(home: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [ADREEL, "generate", str(ROOT / "examples" / "glowcap.yaml")]
    environment = {**os.environ, "RUNWARE_API_KEY": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "outputs").glob("glowcap_*.mp4"))) == len(Scenario)


def test_a_studio_of_another_projects_folder_ends_with_its_terminal_and_starts_again_on_its_ports(
    home: Path, records: Records
) -> None:
    ports = ["--port", str(free_port()), "--prefect-port", str(free_port())]
    studio = Up(home / ".adreel", home / "said.txt", None)  # type: ignore[arg-type]
    with terminal() as (ours, ends):
        process = subprocess.Popen(
            [ADREEL, "up", "--sqlite", *ports], env={**os.environ, "RUNWARE_API_KEY": ""}, **ends
        )
    said = said_on(ours, "Ctrl-C stops it")
    auth = dotenv_values(auth_file(home / ".adreel"))[API_AUTH] or ""
    assert f"Sign in     {auth}" in said

    os.close(ours)
    process.wait(120)
    until(lambda: not studio.processes(), "the end of all processes", 20)

    # A second studio on the same ports is killed. The third ends its leftovers.
    with up(home / ".adreel", "--sqlite", *ports, ends_well=False) as second:
        assert dotenv_values(auth_file(home / ".adreel"))[API_AUTH] == auth
        second.process.kill()
        second.process.wait()
        left = set(second.processes())
        assert left
        with (
            up(home / ".adreel", "--sqlite", *ports, before=BEHIND_A_PROXY) as third,
            Client(third.address("Storyboard")) as client,
        ):
            assert not left & set(third.processes())
            assert_runs_start_warm(third, client)
            assert_a_killed_run_is_reported(home, third)
            assert "in place of ours" not in third.logs()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities of Linux")
def test_a_second_user_of_the_machine_has_a_studio_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prefect's folder in /tmp and the installation belong to the first user. Others may read them, not write.
    Path("/tmp/runner_storage").mkdir(exist_ok=True)  # noqa: S108 - Prefect's name
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    theirs = tmp_path / "a second user with a folder of a name that is too long for a socket, which has 107 bytes"
    theirs.mkdir()
    (theirs / "home").mkdir()
    monkeypatch.setenv("HOME", str(theirs / "home"))
    monkeypatch.setenv("ADREEL_STORAGE", str(theirs / "outputs"))
    for made in (home, theirs, theirs / "home", tmp_path):
        os.chown(made, NOBODY, NOBODY)
    # The installation under test may be in a private home folder.
    read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *read]
    # A shell starts background processes like this.
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    session = make_session(seconds=1).model_dump_json()

    with up(theirs / ".adreel", ends_well=False, before=[*background, *user]) as studio:
        for path in ("/v2/dashboard", "/dashboard"):
            page = httpx.get(f"{studio.address('Prefect')}{path}", headers={"Accept": "text/html"}, timeout=30)
            assert "<html" in page.text, studio.logs()
        url = f"{studio.address('Storyboard')}/api/sessions"
        httpx.post(url, json=json.loads(session), timeout=30).raise_for_status()
        with Client(studio.address("Storyboard")) as client:
            job = client.wait(client.generate("ad", scenarios=[Scenario.HOOK]).job_id, every=0.5)
        assert job.overall_status == "completed", studio.logs()
        environment = {
            **os.environ,
            **{name: value or "" for name, value in dotenv_values(auth_file(studio.folder)).items()},
        }
        for command in ("deploy", "doctor"):
            done = subprocess.run(
                [*user, ADREEL, command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        studio.process.terminate()
        studio.process.wait(120)
        until(lambda: not studio.processes(), "the end of all processes", 20)
    assert open_to_others(studio.folder) == []


def open_to_others(folder: Path) -> list[Path]:
    """Return the files of the studio that others could open if its folder were open."""
    assert folder.stat().st_mode & 0o077 == 0
    return [path for path in folder.glob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]


def assert_runs_start_warm(studio: Up, client: Client) -> None:
    """Complete a job whose run is forked off the fork server. No run starts in a Python process of its own."""
    job_id = client.generate("ad").job_id
    commands = studio.processes()
    while (job := client.status(job_id)).overall_status == "generating":
        commands |= studio.processes()
        time.sleep(0.1)
    assert job.overall_status == "completed", studio.logs()
    forked = [command for command in commands.values() if "adreel.deployments.fork_server" in command]
    assert len(forked) > 1, "only the fork server itself was seen"
    assert not any("prefect.engine" in command for command in commands.values())


def assert_a_killed_run_is_reported(home: Path, studio: Up, program: Path = ADREEL) -> None:
    """Kill the run of a command, and assert that the process beside it reports the crash to Prefect at once."""
    kept = kept_by(studio)
    environment = {**os.environ, API_URL: kept[API_URL], "RUNWARE_API_KEY": "", "ADREEL_LOCAL_RENDER_SECONDS": "60"}
    with subprocess.Popen(
        [program, "regenerate", "ad", "hook"],
        cwd=home,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        until(lambda: states(kept, "RUNNING"), "its run")
        # Other tests on this machine have crash reporters too.
        until(lambda: any("adreel.tasks.crash_reporter" in line for line in commands_below(run.pid)), "its sidecar")
        run.kill()
        run.wait()
        until(lambda: states(kept, "CRASHED"), "the report", 20)


def kept_by(studio: Up) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(auth_file(studio.folder)).items()}


def commands_below(pid: int) -> list[str]:
    """List the command lines of a process's children."""
    return [" ".join(child.cmdline()) for child in psutil.Process(pid).children(recursive=True)]


def states(kept: dict[str, str], state: str) -> list[Any]:
    user, _, password = kept[API_AUTH].partition(":")
    asked = {"flow_runs": {"state": {"type": {"any_": [state]}}}}
    answer = httpx.post(f"{kept[API_URL]}/flow_runs/filter", json=asked, auth=(user, password), timeout=30)
    found: list[Any] = answer.raise_for_status().json()
    return found
