"""The `.env` file of the current folder, read by one parser for settings, workers and storage libraries."""

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

MAX_BYTES = 1024 * 1024
PIPE_SECONDS = 5.0
"""Time limit for a named pipe; password managers provide `.env` as one."""
STORAGE_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of variables that storage libraries read from the environment alone."""


def read_env_file(path: Path = Path(".env")) -> dict[str, str]:
    """Return the variables of a `.env` file, none without a file; InputError names an invalid line."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise InputError(f"can't read {path}: it is not a regular file")
            content = stream.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else _read_pipe(stream.fileno(), path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}  # A folder named .env is usually a virtual environment.
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 1024**2} MB")
    if b"\0" in content:
        raise InputError(f"{path} is not UTF-8 text; it looks like UTF-16: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not UTF-8 text: see line {line}; save it as UTF-8") from None
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            written = binding.original.string
            line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
            raise InputError(f"{path}, line {line}: expected NAME=value, with quotes that are closed")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _read_pipe(pipe: int, path: Path) -> bytes:
    """Read a named pipe until its writer closes it."""
    deadline, content = time.monotonic() + PIPE_SECONDS, b""
    while len(content) <= MAX_BYTES and (left := deadline - time.monotonic()) > 0:
        select.select([pipe], [], [], left)
        with suppress(BlockingIOError):
            piece = os.read(pipe, MAX_BYTES)
            if content and not piece:
                return content
            content += piece
            if not piece:  # The writer has not opened it yet.
                time.sleep(0.01)
    raise InputError(f"can't read {path}: it is a named pipe whose writer did not close it within {PIPE_SECONDS:g} s")


def share_with_storages(variables: dict[str, str]) -> None:
    """Export the variables of a `.env` file that storage libraries read from the environment."""
    for name, value in variables.items():
        if name.startswith(STORAGE_PREFIXES) and value:
            os.environ.setdefault(name, value)
