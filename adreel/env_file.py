"""The `.env` file of the current folder, read by one rule for the settings, workers and the libraries of storages."""

import io
import os
import select
import stat
import time
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from adreel.errors import InputError

LARGEST = 1024 * 1024
PIPE_SECONDS = 5.0
"""How long a named pipe, as password managers offer one, may take to be written."""
OF_STORAGES = ("AWS_", "AZURE_", "GOOGLE_")
"""Variables that the libraries behind ADREEL_STORAGE look for in the environment alone."""


def read_env_file(path: Path = Path(".env")) -> dict[str, str]:
    """Return the variables of a `.env` file, none if there is no such file; InputError names a line that is none."""
    text = _text(path)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            written = binding.original.string
            line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
            raise InputError(f"{path}, line {line}: expected NAME=value, with quotes that are closed")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def share_with_storages(variables: dict[str, str]) -> None:
    """Put what a `.env` file says to the libraries of storages into the environment, where they look for it."""
    for name, value in variables.items():
        if name.startswith(OF_STORAGES) and value:
            os.environ.setdefault(name, value)


def _text(path: Path) -> str:
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise InputError(f"can't read {path}: it is no regular file")
            content = stream.read(LARGEST + 1) if stat.S_ISREG(mode) else _written(stream.fileno(), path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""  # A folder .env is somebody's virtual environment.
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    if len(content) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST // 1024**2} MB")
    if b"\0" in content:
        raise InputError(f"{path} is no UTF-8 text; it looks like UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is no UTF-8 text: see line {line}; save it as UTF-8") from None


def _written(pipe: int, path: Path) -> bytes:
    """Return what comes through a named pipe until its writer closes it."""
    deadline, content = time.monotonic() + PIPE_SECONDS, b""
    while len(content) <= LARGEST and (left := deadline - time.monotonic()) > 0:
        select.select([pipe], [], [], left)
        with suppress(BlockingIOError):
            piece = os.read(pipe, LARGEST)
            if content and not piece:
                return content
            content += piece
            if not piece:  # Its writer has not come yet.
                time.sleep(0.01)
    raise InputError(f"can't read {path}: it is a named pipe that nobody wrote and closed within {PIPE_SECONDS:g} s")
