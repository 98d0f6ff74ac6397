"""Whether Prefect's own settings can name a server, judged without the second that importing Prefect takes."""

import os
from collections.abc import Mapping
from pathlib import Path

from adreel.settings.env_file import read_env_file

DECISIVE = {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"}


def may_name_server(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment, `.env`, a profile or a TOML file of Prefect may name a server. In doubt True."""
    if "PREFECT_API_URL" in environment:
        return bool(environment["PREFECT_API_URL"])
    env_file = read_env_file()
    if DECISIVE & (environment.keys() | env_file.keys()) or "PREFECT_HOME" in env_file or Path("prefect.toml").exists():
        return True
    profiles = Path(environment.get("PREFECT_HOME") or Path.home() / ".prefect") / "profiles.toml"
    for file, mark in ((Path("pyproject.toml"), "tool.prefect"), (profiles, "PREFECT_API_URL")):
        try:
            if mark in file.read_text():
                return True
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return True
    return False
