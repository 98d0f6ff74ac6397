"""Progress of running jobs, read from their records: bars on a terminal, lines elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adreel.cli.display import print_line
from adreel.cli.output import printable
from adreel.errors import AdreelError
from adreel.flows.running import Observer, open_records
from adreel.models.api import State
from adreel.models.parts import label_of, shown_name
from adreel.records import Records
from adreel.records.views import job_status

LOCAL_SECONDS, REMOTE_SECONDS, CAMPAIGN_SECONDS = 0.2, 1.0, 5.0
STEPS = {0: "waiting", 10: "sent to Runware", 30: "rendering", 70: "rendered", 80: "downloaded", 100: "stored"}


class _Messages(Observer):
    def message(self, text: str) -> None:
        print_line(text)

    @contextmanager
    def starting(self, what: str) -> Iterator[None]:
        """Show a spinner on a terminal, and a line elsewhere."""
        console = Console(emoji=False)
        if not console.is_terminal or console.is_dumb_terminal:
            print_line(f"Starting {what} ...")
            yield
            return
        with console.status(f"Starting {what} ..."):
            yield


class JobProgress(_Messages):
    """Shows the progress of each scene. With several jobs, a scene has the start of its job's id."""

    @contextmanager
    def watching(self, job_ids: list[str]) -> Iterator[None]:
        """Show the progress until the block ends."""
        records = open_records()
        console = Console(emoji=False)
        is_terminal = console.is_terminal and not console.is_dumb_terminal
        bars = progress_bars(console)
        show = BarPerScene(bars) if is_terminal else _LinePerStep(console)

        def poll() -> None:
            show_job_progress(records, job_ids, show)

        seconds = LOCAL_SECONDS if records.storage.is_local else REMOTE_SECONDS
        with bars if is_terminal else nullcontext(), polling(poll, seconds):
            yield


def show_job_progress(records: Records, job_ids: list[str], show: "BarPerScene | _LinePerStep") -> None:
    """Show each scene of some jobs once: its step, or why it has failed or is tried again."""
    from adreel.flows.jobs import STORAGE, retrying

    # Before the job is recorded there is nothing to show. The run reports storage errors.
    with suppress(AdreelError):
        for job_id in job_ids:
            prefix = f"{job_id[:8]} " if len(job_ids) > 1 else ""
            for scene in job_status(records, job_id).scenes:
                step, reason = STEPS[max(step for step in STEPS if step <= scene.progress)], ""
                is_over = scene.status != State.GENERATING
                if scene.error:
                    step, reason = str(scene.status), scene.error
                elif not is_over:
                    step, reason = retrying.get((job_id, scene.scenario), (step, ""))
                reason = _one_line(reason).removeprefix(f"{label_of(scene.scenario)}: ")
                show(f"{prefix}{shown_name(scene.scenario)}", scene.progress, step, is_over, reason)
        show_cuts(show)
    if STORAGE in retrying:
        step, reason = retrying[STORAGE]
        show("storage", 0, step, False, _one_line(reason))


class CutProgress(_Messages):
    """Shows the progress of a cut."""

    @contextmanager
    def watching(self, job_ids: list[str]) -> Iterator[None]:
        """Show the progress until the block ends."""
        from adreel.flows.cut_ad import steps

        # An earlier cut of this process has ended.
        steps.clear()
        console = Console(emoji=False)
        is_terminal = console.is_terminal and not console.is_dumb_terminal
        bars = progress_bars(console)
        show = BarPerScene(bars) if is_terminal else _LinePerStep(console)
        with bars if is_terminal else nullcontext(), polling(lambda: show_cuts(show), LOCAL_SECONDS):
            yield


def show_cuts(show: "BarPerScene | _LinePerStep") -> None:
    """Show the cuts that run in this process."""
    from adreel.flows.cut_ad import steps

    for percent, step in list(steps.values()):
        show("cut", percent, step, percent == 100)


class CampaignProgress(_Messages):
    """Shows the ads and the rate of a campaign."""

    @contextmanager
    def watching(self, job_ids: list[str]) -> Iterator[None]:
        """Show the tally of the run until the block ends."""
        from adreel.flows.generate_campaign import tallies

        started, shown = time.monotonic(), ""

        def poll() -> None:
            nonlocal shown
            tally = tallies.get(job_ids[0])
            if tally and str(tally) != shown:
                shown = str(tally)
                rate = tally.done / max(time.monotonic() - started, 1) * 60
                print_line(f"{shown}, {rate:.1f} ads a minute")

        with polling(poll, CAMPAIGN_SECONDS):
            yield


@contextmanager
def polling(poll: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function every few seconds until the block ends, and once after it."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            poll()

    thread = threading.Thread(target=run, name="adreel-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(REMOTE_SECONDS * 5)
        poll()


class BarPerScene:
    """Shows a bar for each scene. The reason of a failure or of a retry is a line above the bars, and stays there."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._reasons: dict[str, str] = {}

    def __call__(self, name: str, percent: int, step: str, is_over: bool, reason: str = "") -> None:
        """Show the state of a scene."""
        if reason and self._reasons.get(name) != reason:
            self._reasons[name] = reason
            self._bars.console.print(f"{name}: {reason}", highlight=False, markup=False)
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=100, step="")
        self._bars.update(self._tasks[name], completed=percent, step=step)
        if is_over:
            self._bars.stop_task(self._tasks[name])


class _LinePerStep:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, str] = {}

    def __call__(self, name: str, percent: int, step: str, is_over: bool, reason: str = "") -> None:
        line = f"{step}: {reason}" if reason else step
        if self._shown.get(name) != line:
            self._shown[name] = line
            self._console.print(f"{name}: {line} ({percent}%)", highlight=False, markup=False, soft_wrap=True)


def progress_bars(console: Console) -> Progress:
    """Return the bars, which show foreign text without interpreting it. They fit a terminal of 80 columns."""
    return Progress(
        TextColumn("{task.description:<14}", markup=False),
        # The name, the percentage, the time and the longest step, "trying again (3/6)", take up to 55 columns.
        BarColumn(bar_width=max(5, min(30, console.width - 55))),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}", markup=False),
        console=console,
    )


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
