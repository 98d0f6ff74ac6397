"""Server process that has imported Prefect and the flows, and forks one process for each flow run.

A new Python process spends most of a run's start on imports. A forked run is a process of its own as well, with its
own environment, folder and output. The launcher (`adreel.deployments.launcher`) sends these, and holds the other end
of the run's connection.
"""

import json
import os
import runpy
import signal
import socket
import sys
from select import select
from threading import Thread, active_count
from typing import Any

from adreel.deployments.launcher import LENGTH_BYTES

ENGINE = "prefect.engine"


def main(listener: socket.socket) -> None:
    """Fork runs until stdin ends: the worker holds its other end."""
    _import_all()
    # The runs are not waited for here. Each reports its end to its launcher.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _become(connection)
            return
        connection.close()


def _import_all() -> None:
    import prefect.engine  # noqa: F401, PLC0415

    import adreel.flows.generate_ad  # noqa: PLC0415
    import adreel.flows.generate_campaign  # noqa: PLC0415
    import adreel.flows.regenerate_scene  # noqa: PLC0415
    import adreel.flows.resume  # noqa: F401, PLC0415

    assert active_count() == 1, "a process with threads can't be forked"  # noqa: S101 - a fault of this file


def _become(connection: socket.socket) -> None:
    """Be the run that a launcher asks for, to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, descriptors, *_ = socket.recv_fds(connection, LENGTH_BYTES, 3)
    request = _received(connection, int.from_bytes(length))
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    Thread(target=_obey, args=(connection,), daemon=True).start()
    connection.send(bytes([_run()]))


def _received(connection: socket.socket, length: int) -> dict[str, Any]:
    with connection.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.read(length))
    return request


def _obey(connection: socket.socket) -> None:
    """Pass on the launcher's signals; its death is the run's."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


def _run() -> int:
    from prefect.context import refresh_global_settings_context  # noqa: PLC0415

    refresh_global_settings_context()
    sys.argv = [ENGINE]
    sys.modules.pop(ENGINE, None)
    try:
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        return _code(error)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter would
    return 1


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
