"""The wheel, installed by pip: demo, studio and deployment in a folder of another project.

The folder has modules of adreel's names, and another distribution in the same environment has packages of these names.
"""

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from adreel.client import Client
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.storage import Storage
from tests.factories import make_session
from tests.test_studio import up
from tests.test_studio_surroundings import (
    PACKAGES,
    THEIRS,
    assert_a_killed_run_is_reported,
    assert_runs_start_warm,
    kept_by,
    set_traps,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
ENTRIES = [entry for entry in sys.path if entry.endswith("site-packages")]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, and lend it this environment's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT)
    [wheel] = folder.glob("adreel-*.whl")

    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    [packages] = (folder / "venv" / "lib").glob("*/site-packages")
    # Python does not follow the .pth files of these folders, so the checkout stays out of reach.
    (packages / "others.pth").write_text("\n".join(ENTRIES))
    # The command that pip installs with Prefect.
    [prefect] = entry_points(group="console_scripts", name="prefect")
    script = python.with_name("prefect")
    script.write_text(f"#!{python}\nfrom {prefect.module} import {prefect.attr}\n{prefect.attr}()\n")
    script.chmod(0o755)
    set_traps(packages, *(f"{name}/__init__.py" for name in PACKAGES))
    return python


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "another project"
    set_traps(home, *THEIRS)
    for name, value in {
        "ADREEL_STORAGE": str(home / "outputs"),
        "ADREEL_MODEL": "bytedance:2@2",
        "ADREEL_SIZE": "128x72",
        "ADREEL_LOCAL_RENDER_SECONDS": "0.5",
        "RUNWARE_API_KEY": "",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    return home


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_is_what_runs(python: Path, home: Path) -> None:
    where = run(python, "-P", "-c", "import adreel.flows; print(adreel.flows.__file__)")
    assert where.startswith(str(python.parents[1]))


def test_a_wheel_passes_the_demo(python: Path, home: Path) -> None:
    shutil.copy(ROOT / "examples" / "glowcap.yaml", home)
    run(python.with_name("adreel"), "generate", "glowcap.yaml")
    assert len(list((home / "outputs").glob("glowcap_*.mp4"))) == len(Scenario)


def test_a_wheel_passes_up_and_deploy(python: Path, home: Path) -> None:
    adreel = python.with_name("adreel")
    Records(Storage(str(home / "outputs"))).save_session(make_session(seconds=1))
    with up(home / ".adreel", "--sqlite", program=adreel) as studio, Client(studio.address("Storyboard")) as client:
        ours = [line for line in studio.processes().values() if "adreel" in line]
        assert any("adreel.deployments.fork_server" in line for line in ours)
        assert [line for line in ours if str(python.parent) not in line] == []

        assert_runs_start_warm(studio, client)
        run(adreel, "deploy", **kept_by(studio))
        assert_a_killed_run_is_reported(home, studio, adreel)
        assert "in place of ours" not in studio.logs()
