"""Hands a command to the fork server of a studio, which has imported what the command needs.

The command runs in a process that is forked there, with the arguments, environment, folder and output of this one. This
process forwards signals and returns the exit code. If it is killed, the command is killed.
"""

import json
import os
import resource
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import adreel
from adreel.deployments.launcher import LENGTH_BYTES, follow, send_request

LINK = "fork-server"
"""Symbolic link in the studio's folder to the address of its fork server, whose path may be long."""
ANSWER_SECONDS = 1.0
VARIABLES = {"LANG", "PYTHONPATH", "PYTHONHOME", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONDEVMODE"}
"""Variables that Python reads only when it starts."""
NAMESPACES = ("mnt", "net", "pid", "user")


def link_server(studio: Path, address: str) -> None:
    """Let the commands beside a studio find its fork server."""
    new = studio / f"{LINK}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(address)
    new.replace(studio / LINK)


def hand_over(studio: Path) -> int | None:
    """Run this command in a process of the studio's fork server, and return its exit code; None if nothing was run.

    Nothing is run if the fork server does not answer, or if a process of it would differ from this one.
    """
    # Another program that calls the command line has more to do than this.
    program = Path(sys.argv[0]).absolute()
    is_command = program.name == "adreel" and program.is_file()
    # Such a file may be an open file of this process.
    has_open_file = any(word.startswith(("/dev/", "/proc/")) for word in sys.argv)
    if not is_command or has_open_file or not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(ANSWER_SECONDS)
        try:
            server.connect(str(studio / LINK))
            # The request has the environment with its secrets.
            if _user_of(server) != os.geteuid():
                return None
            server.sendall(bytes(LENGTH_BYTES))
            with server.makefile("rb") as stream:
                if json.loads(stream.readline()) != describe_process():
                    return None
            server.settimeout(None)
            arguments = [str(program), *sys.argv[1:]]
            request = {"environment": dict(os.environ), "folder": os.getcwd(), "arguments": arguments}  # noqa: PTH109
            send_request(server, request)
        except (OSError, ValueError):
            return None
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        return follow(server, [number for number in signals if signal.getsignal(number) != signal.SIG_IGN])


def describe_process() -> dict[str, Any]:
    """Return what a process has from its start, besides its arguments, environment, folder and output."""
    mask = os.umask(0o077)
    os.umask(mask)
    limits = {name: list(resource.getrlimit(getattr(resource, name))) for name in dir(resource) if "RLIMIT_" in name}
    namespaces = {}
    for name in NAMESPACES:
        with suppress(OSError):
            namespaces[name] = str(Path("/proc/self/ns", name).readlink())
    return {
        "code": [adreel.__version__, str(adreel.__file__)],
        "python": [sys.executable, sys.version, sys.warnoptions],
        "variables": {
            name: value
            for name, value in os.environ.items()
            if name in VARIABLES or name.startswith(("LC_", "FSSPEC_"))
        },
        "user": [os.geteuid(), os.getegid(), sorted(os.getgroups())],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "umask": mask,
        "limits": limits,
        "namespaces": namespaces,
    }


def _user_of(server: socket.socket) -> int:
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", server.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)
