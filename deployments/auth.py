"""The credentials of a studio's Prefect server: created once, stored in a private file, and found by commands nearby.

Prefect listens on loopback, which every web page in a browser can reach: a cross-site `fetch` needs no preflight.
Every command calls this module first, so it imports only the standard library and dotenv.
"""

import os
import secrets
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from adreel.errors import InputError
from adreel.settings.env_file import read_env_file

API_URL, API_AUTH, SERVER_AUTH = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
USER = "adreel"
SECRET_BYTES = 32
DEFAULT_FOLDER = Path(".adreel")


def auth_file(folder: Path) -> Path:
    """Return the shell file with the address and the credentials of the studio's Prefect server."""
    return folder / "prefect.env"


def keep_auth(folder: Path, api_url: str) -> str:
    """Return the studio's credentials, created at the first start, and store them with the address."""
    file = auth_file(folder)
    auth = _private_values(file).get(API_AUTH) or f"{USER}:{secrets.token_urlsafe(SECRET_BYTES)}"
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(f"export {API_URL}={api_url}\nexport {API_AUTH}={auth}\n")
    new.replace(file)
    return auth


def use_auth(environment: MutableMapping[str, str], folder: Path = DEFAULT_FOLDER) -> None:
    """Add the credentials of the studio in a folder, if the environment names the Prefect server of that studio."""
    kept = _private_values(auth_file(folder))
    if API_AUTH in environment or not (auth := kept.get(API_AUTH)):
        return
    # The code that needs `.env` or the address reports an unreadable one.
    with suppress(ValueError, InputError):
        url = environment.get(API_URL) or read_env_file().get(API_URL)
        # No other server may see the credentials.
        if url and _host_and_port(url) == _host_and_port(kept.get(API_URL) or ""):
            environment[API_AUTH] = auth


def make_private(folder: Path) -> None:
    """Create a folder of the studio, or close it to others. Raises InputError if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise InputError(f"{folder} belongs to another user: choose another --folder")
    folder.chmod(0o700)


def _private_values(file: Path) -> dict[str, str | None]:
    """Read a private file; empty if it is missing or was accessible to others."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return {}
    if file.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return {}
    return dotenv_values(file)


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url.strip())
    return "localhost" if parts.hostname in {"127.0.0.1", "::1"} else parts.hostname, parts.port
