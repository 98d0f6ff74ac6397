"""Progress of a job while it runs, read from its records: bars on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adreel.cli.output import printable
from adreel.errors import AdreelError
from adreel.models.api import VideoSceneStatus
from adreel.records import Records
from adreel.records.views import job_status

LOCAL_SECONDS, REMOTE_SECONDS = 0.2, 1.0
STEPS = {0: "waiting", 10: "sent to Runware", 30: "rendering", 70: "rendered", 80: "downloaded", 100: "stored"}


@contextmanager
def watching(records: Records, job_ids: list[str]) -> Iterator[None]:
    """Show the progress of jobs until the block ends; several are told apart by the start of their ids."""
    console = Console(emoji=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with _bars(console) as bars:
            show = _BarPerScene(bars)
            with _polling(records, job_ids, show):
                yield
    else:
        with _polling(records, job_ids, _LinePerStep(console)):
            yield


@contextmanager
def _polling(records: Records, job_ids: list[str], show: Callable[[str, VideoSceneStatus], None]) -> Iterator[None]:
    def look() -> None:
        try:
            for job_id in job_ids:
                prefix = f"{job_id[:8]} " if len(job_ids) > 1 else ""
                for scene in job_status(records, job_id).scenes:
                    show(f"{prefix}{scene.scenario}", scene)
        except AdreelError:
            # Before the job is recorded there is nothing to show; trouble of storage shows in the run itself.
            return

    with looking(look, LOCAL_SECONDS if records.storage.is_local else REMOTE_SECONDS):
        yield


@contextmanager
def looking(look: Callable[[], None], seconds: float) -> Iterator[None]:
    """Look every few seconds until the block ends, and once after it."""
    over = threading.Event()

    def poll() -> None:
        while not over.wait(seconds):
            look()

    thread = threading.Thread(target=poll, name="adreel-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(REMOTE_SECONDS * 5)
        look()


class _BarPerScene:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, scene: VideoSceneStatus) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=100, step="")
        task = self._tasks[name]
        self._bars.update(task, completed=scene.progress, step=_step(scene))
        if scene.status != "generating":
            self._bars.stop_task(task)


class _LinePerStep:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __call__(self, name: str, scene: VideoSceneStatus) -> None:
        line = f"{name}: {_step(scene)} ({scene.progress}%)"
        if self._said.get(name) != line:
            self._said[name] = line
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}", markup=False),
        console=console,
    )


def _step(scene: VideoSceneStatus) -> str:
    if scene.error:
        return " ".join(printable(scene.error).split())
    return STEPS[max(step for step in STEPS if step <= scene.progress)]
