"""Progress of a job while it runs, read from its records: bars on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adreel.errors import AdreelError
from adreel.messages import VideoSceneStatus
from adreel.records import Records
from adreel.views import job_status

LOCAL_SECONDS, REMOTE_SECONDS = 0.2, 1.0
STEPS = {0: "waiting", 10: "sent to Runware", 30: "rendering", 70: "rendered", 80: "downloaded", 100: "stored"}


@contextmanager
def watching(records: Records, job_id: str) -> Iterator[None]:
    """Show a job's progress until the block ends."""
    console = Console()
    if console.is_terminal:
        with _bars(console) as bars:
            show = _BarPerScene(bars)
            with _polling(records, job_id, show):
                yield
    else:
        with _polling(records, job_id, _LinePerStep(console)):
            yield


@contextmanager
def _polling(records: Records, job_id: str, show: Callable[[VideoSceneStatus], None]) -> Iterator[None]:
    over = threading.Event()

    def look() -> None:
        try:
            for scene in job_status(records, job_id).scenes:
                show(scene)
        except AdreelError:
            # Before the job is recorded there is nothing to show; trouble of storage shows in the run itself.
            return

    def poll() -> None:
        while not over.wait(LOCAL_SECONDS if records.storage.is_local else REMOTE_SECONDS):
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

    def __call__(self, scene: VideoSceneStatus) -> None:
        if scene.scenario not in self._tasks:
            self._tasks[scene.scenario] = self._bars.add_task(scene.scenario, total=100, step="")
        task = self._tasks[scene.scenario]
        self._bars.update(task, completed=scene.progress, step=_step(scene))
        if scene.status != "generating":
            self._bars.stop_task(task)


class _LinePerStep:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __call__(self, scene: VideoSceneStatus) -> None:
        line = f"{scene.scenario}: {_step(scene)} ({scene.progress}%)"
        if self._said.get(scene.scenario) != line:
            self._said[scene.scenario] = line
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}"),
        console=console,
    )


def _step(scene: VideoSceneStatus) -> str:
    if scene.error:
        return scene.error
    return STEPS[max(step for step in STEPS if step <= scene.progress)]
