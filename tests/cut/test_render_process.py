"""The render process can be cancelled at any moment, ends with its parent, and has no secret in its environment."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adreel.cut.plan import Progress, SegmentPlan
from adreel.cut.render import process
from adreel.cut.render.process import render
from adreel.errors import CutFailed, InputError
from tests.cut.cutter import HEIGHT, PLAN, WIDTH, Cutter
from tests.cut.unlike_clips import Clip

CLIP = Clip("plain", pictures=15)
SECRET = "sk-render-secret"
LONG = 9000


def plan(cutter: Cutter, **changes: object) -> SegmentPlan:
    values = {"width": WIDTH, "height": HEIGHT, "fit": "crop", "frames": CLIP.frames, **changes}
    return SegmentPlan(str(cutter.clip(CLIP)), "", **values)  # type: ignore[arg-type]


def long_plan(cutter: Cutter) -> SegmentPlan:
    """A segment that takes many seconds."""
    return plan(cutter, width=640, height=360, frames=LONG)


def children() -> Iterator[int]:
    for thread in Path("/proc/self/task").iterdir():
        for pid in (thread / "children").read_text().split():
            if b"adreel.cut.render.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                yield int(pid)


async def rendering(cutter: Cutter, out: Path, **options: float) -> tuple["asyncio.Task[object]", int]:
    """Start a render that takes many seconds and return it after its first progress, with its process."""
    begun = asyncio.Event()

    def report(_: Progress) -> None:
        begun.set()

    task: asyncio.Task[object] = asyncio.create_task(render({out: long_plan(cutter)}, {}, report, **options))
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not task.done(), task.exception()
    (pid,) = children()
    return task, pid


async def test_a_cancelled_render_is_over_within_two_seconds(cutter: Cutter, tmp_path: Path) -> None:
    task, pid = await rendering(cutter, tmp_path / "long.mkv")
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 2
    # It is gone, and no zombie.
    assert not Path(f"/proc/{pid}").exists()
    assert not (tmp_path / "long.mkv").exists()


async def test_a_killed_render_fails_and_leaves_no_file(cutter: Cutter, tmp_path: Path) -> None:
    task, pid = await rendering(cutter, tmp_path / "long.mkv")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(CutFailed, match="the render process ended with SIGKILL"):
        await task
    assert not (tmp_path / "long.mkv").exists()


async def test_a_render_has_a_deadline(cutter: Cutter, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(CutFailed, match=r"takes longer than 0\.5 s"):
        await render({tmp_path / "long.mkv": long_plan(cutter)}, {}, deadline=0.5)
    assert time.monotonic() - begun < 2.5
    assert not list(children())


async def test_it_has_no_secret_and_is_limited(cutter: Cutter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    task, pid = await rendering(cutter, tmp_path / "long.mkv")
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    task.cancel()
    await asyncio.wait([task])
    assert SECRET.encode() not in environment
    for name in ("Max address space", "Max cpu time", "Max file size"):
        assert next(line for line in limits.splitlines() if line.startswith(name)).split()[3] != "unlimited"


def test_it_ends_with_its_parent(cutter: Cutter, tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
from pathlib import Path
from adreel.cut.plan import SegmentPlan
from adreel.cut.render.process import render
plan = SegmentPlan({str(cutter.clip(CLIP))!r}, "", 640, 360, "crop", {LONG})
def report(_):
    for thread in Path("/proc/self/task").iterdir():
        print((thread / "children").read_text(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(render({{Path({str(tmp_path / "long.mkv")!r}): plan}}, {{}}, report))
"""
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    (pid,) = parent.stdout.split()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1]:
        assert time.monotonic() < deadline, "the render outlives its parent"
        time.sleep(0.02)
    assert not (tmp_path / "long.mkv").exists()


async def test_modules_of_the_current_folder_are_not_imported(
    cutter: Cutter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "resource", "av", "adreel"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    segment = plan(cutter)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    await render({Path("plain.mkv"): segment}, {})
    assert (tmp_path / "plain.mkv").exists()


async def test_progress_grows_to_its_end(cutter: Cutter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CODE", every_report(process.CODE))
    told: list[Progress] = []
    segments = {tmp_path / f"{number}.mkv": plan(cutter) for number in range(2)}
    film = replace(PLAN, segments=tuple(map(str, segments)))
    await render(segments, {tmp_path / "film.mp4": film}, told.append)
    shares = [each.done for each in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=0.001)
    assert list(dict.fromkeys(each.step for each in told)) == ["segment 1 of 2", "segment 2 of 2", "160x90"]


def every_report(code: str) -> str:
    return code.replace(
        "from adreel.cut.render.child import main;",
        "from adreel.cut.render import child; child.REPORT_SECONDS = 0; main = child.main;",
    )


async def test_equal_plans_make_equal_files(cutter: Cutter, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        film = replace(PLAN, segments=(str(folder / "plain.mkv"),))
        await render({folder / "plain.mkv": plan(cutter)}, {folder / "film.mp4": film})
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert set(files[0]) == {"plain.mkv", "film.mp4", "film.jpg"}
    assert files[0] == files[1]


async def test_an_unusable_clip_is_named(cutter: Cutter, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(cutter.clip(CLIP).read_bytes()[:300])
    with pytest.raises((CutFailed, InputError), match=r"^broken\.mp4: "):
        await render({tmp_path / "broken.mkv": SegmentPlan(str(broken), "", WIDTH, HEIGHT, "crop", 15)}, {})
    assert list(tmp_path.glob("*.mkv")) == []


async def test_a_folder_that_is_gone_fails_with_its_reason(cutter: Cutter, tmp_path: Path) -> None:
    with pytest.raises(CutFailed, match="No such file or directory"):
        await render({tmp_path / "missing" / "plain.mkv": plan(cutter)}, {})
