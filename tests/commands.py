"""Commands in processes that are forked from one that has imported them: the imports cost more than most commands."""

import atexit
import multiprocessing
import os
import sys
import threading
from pathlib import Path
from pkgutil import iter_modules
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory

from adreel import cli

FORKS = multiprocessing.get_context("forkserver")
# Prefect is not among what they import: it reads its settings when it is imported.
FORKS.set_forkserver_preload([f"adreel.cli.{module.name}" for module in iter_modules(cli.__path__)])


def run_command(
    program: Path, words: list[str], environment: dict[str, str], timeout: float = 240
) -> CompletedProcess[str]:
    """Run the command line in a process, with an environment, the current folder and outputs of its own."""
    with TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_main, args=([str(program), *words], environment, Path.cwd(), outputs))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(words, timeout)
        stdout, stderr = (output.read_text() for output in outputs)
        return CompletedProcess(words, process.exitcode, stdout, stderr)


def _main(words: list[str], environment: dict[str, str], folder: Path, outputs: list[Path]) -> None:
    for descriptor, output in enumerate(outputs, start=1):
        with output.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    from adreel.cli.app import main

    try:
        main()
    finally:
        # multiprocessing ends a process without the functions that are registered for its end.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
