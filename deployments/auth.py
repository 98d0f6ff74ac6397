"""The credentials of a studio's Prefect server: created once, stored in a private file, and found by commands nearby.

Prefect listens on loopback, which every web page in a browser can reach: a cross-site `fetch` needs no preflight.
Every command calls this module first, so it imports only the standard library and dotenv.
"""

import fcntl
import os
import secrets
from collections.abc import MutableMapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from adreel.errors import InputError
from adreel.settings.env_file import read_env_file
from adreel.settings.prefect_server import may_name_server

API_URL, API_AUTH, SERVER_AUTH = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
USER = "adreel"
SECRET_BYTES = 32
DEFAULT_FOLDER = Path(".adreel")
ANSWER_SECONDS = 1.0


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


def use_studio(environment: MutableMapping[str, str], folder: Path = DEFAULT_FOLDER) -> str | None:
    """Name the Prefect server of the studio that runs in a folder, unless the user's settings may name a server.

    Return the address of that server, or None if it is not used.
    """
    kept = _private_values(auth_file(folder))
    url, auth = kept.get(API_URL), kept.get(API_AUTH)
    if not (url and auth) or environment.keys() & {API_URL, API_AUTH}:
        return None
    if may_name_server(environment) or not (_answers(url) and _is_locked(folder)):
        return None
    environment.update({API_URL: url, API_AUTH: auth})
    return url


def make_private(folder: Path) -> None:
    """Create a folder of the studio, or close it to others. Raises InputError if that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"can't create {folder}: {error.strerror}: choose another --folder") from None
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


def _answers(url: str) -> bool:
    """Whether Prefect answers at an address. The password is not sent."""
    host, port = _host_and_port(url)
    connection = HTTPConnection("127.0.0.1" if host == "localhost" else host or "", port, timeout=ANSWER_SECONDS)
    with closing(connection), suppress(OSError, HTTPException):
        connection.request("GET", f"{urlsplit(url).path}/health")
        return connection.getresponse().status == HTTPStatus.OK
    return False


def _is_locked(folder: Path) -> bool:
    """Whether a studio holds the lock of its folder. After its end another server may use its port."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url.strip())
    return "localhost" if parts.hostname in {"127.0.0.1", "::1"} else parts.hostname, parts.port
