"""Server process that has imported Prefect and the flows, and forks one process for each flow run or command.

A new Python process spends most of a run's start on imports. A forked run is a process of its own as well, with its
own environment, folder and output. The launcher (`adreel.deployments.launcher`) sends these, and holds the other end
of the run's connection. A command beside the studio does the same (`adreel.deployments.handover`).
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from select import select
from threading import Thread, active_count
from typing import Any

from adreel.deployments.handover import describe_process
from adreel.deployments.launcher import LENGTH_BYTES
from adreel.orchestration.imports import without_collections

ENGINE = "prefect.engine"
FLOWS = ("generate_ad", "generate_campaign", "regenerate_scene", "resume")
BACKLOG = 128
STOP_SECONDS = 5.0


@contextmanager
def running(folder: str, preload: Sequence[str] = ()) -> Iterator[str]:
    """Run a fork server, and yield its address in a folder. If the server dies, new runs start cold.

    `preload` are further modules for its processes.
    """
    address = f"{folder}/fork-server"
    with socket.socket(socket.AF_UNIX) as listener:
        # A run that connects before the imports are done waits for them.
        listener.bind(address)
        listener.listen(BACKLOG)
        process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-P", "-m", __name__, str(listener.fileno()), *preload],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            # A Ctrl-C reaches the runs through their launchers, once.
            start_new_session=True,
        )
    try:
        yield address
    finally:
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:  # On a busy machine it may still be importing.
            process.kill()
            process.wait()


def main(listener: socket.socket, preload: Sequence[str]) -> None:
    """Fork processes until stdin ends: the worker holds its other end."""
    with without_collections():
        for name in (ENGINE, *(f"adreel.flows.{flow}" for flow in FLOWS), *preload):
            import_module(name)
    # What is imported stays, in each forked process as well.
    gc.freeze()
    assert active_count() == 1, "a process with threads can't be forked"  # noqa: S101 - a fault of this file
    # The server does not wait for the runs. Each reports its end to its launcher.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            run(connection)
            return
        connection.close()


def run(connection: socket.socket) -> None:
    """Execute the run or command that a client describes, in this forked process, and send its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        length, descriptors, *_ = socket.recv_fds(connection, LENGTH_BYTES, 3)
        if length == bytes(LENGTH_BYTES):
            # The client of a command asks first whether this process is like its own.
            connection.sendall(json.dumps(describe_process()).encode() + b"\n")
            length, descriptors, *_ = socket.recv_fds(connection, LENGTH_BYTES, 3)
    except OSError:
        length = b""
    if not length:
        return  # The client has gone, and starts without this server.
    with connection.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.read(int.from_bytes(length)))
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])

    def receive_signals() -> None:
        while number := connection.recv(1):
            os.kill(os.getpid(), number[0])
        # The launcher is dead, so the run has to die as well.
        os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=receive_signals, daemon=True).start()

    from prefect.context import refresh_global_settings_context  # noqa: PLC0415

    refresh_global_settings_context()
    code = 0
    try:
        if arguments := request.get("arguments"):
            _run_command(arguments)
        else:
            sys.argv = [ENGINE]
            sys.modules.pop(ENGINE, None)
            runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            code = (error.code or 0) & 0xFF
        else:
            print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter would
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    connection.send(bytes([code]))


def _run_command(arguments: list[str]) -> None:
    """Run a script of Python as a new process would."""
    from prefect.logging.configuration import setup_logging  # noqa: PLC0415

    setup_logging(incremental=False)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
