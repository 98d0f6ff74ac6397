"""The probe process ends with its parent, survives decompression bombs, and has no secret in its environment."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adreel.errors import ClipUnavailable
from adreel.purchase.probe import child, process
from adreel.purchase.probe.findings import Findings
from adreel.purchase.probe.process import Prober
from tests import odd_clips

SECRET = "sk-probe-secret"


@pytest.fixture
def prober() -> Iterator[Prober]:
    prober = Prober()
    yield prober
    prober.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return odd_clips.film(tmp_path / "clip.mp4", 1)


def looked(prober: Prober, clip: Path) -> Findings:
    return prober.inspect(clip, "clip")


def pid_of(prober: Prober) -> int:
    assert prober._child is not None
    return prober._child._process.pid


def with_child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have the child run this code in place of the decoder."""
    imports = "from adreel.purchase.probe import child\nfrom adreel.purchase.probe.findings import Findings"
    patched = f"{imports}\n{textwrap.dedent(code)}"
    monkeypatch.setattr(process, "MAIN", f"{patched}\nchild.INSPECTORS['clip'] = inspect_clip\nchild.main()")


def test_one_process_looks_into_all_clips(prober: Prober, clip: Path) -> None:
    first = looked(prober, clip)
    assert first.measures
    pid = pid_of(prober)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: looked(prober, clip), range(20))) == {first}
    assert pid_of(prober) == pid


def test_a_relative_path_is_found(prober: Prober, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    assert looked(prober, Path(clip.name)).measures


def test_a_killed_process_is_started_again(prober: Prober, clip: Path) -> None:
    looked(prober, clip)
    os.kill(pid_of(prober), signal.SIGKILL)
    assert looked(prober, clip).measures


def test_it_has_neither_the_key_nor_the_settings(prober: Prober, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", SECRET)
    looked(prober, clip)
    environment = Path(f"/proc/{pid_of(prober)}/environ").read_bytes()
    assert SECRET.encode() not in environment
    assert b"ADREEL" not in environment


def test_modules_of_the_current_folder_are_not_imported(
    prober: Prober, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "resource", "av", "adreel"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert looked(prober, clip).measures


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def inspect_clip(*_): bytearray(2**31)", "MemoryError|ended the probe"),
        ("def inspect_clip(*_):\n    while True: pass", "too long to decode"),
        ("import os, signal\ndef inspect_clip(*_): os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal\ndef inspect_clip(*_): os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os\ndef inspect_clip(*_): os._exit(7)", "status 7"),
    ],
    ids=["memory", "processor", "crash", "killed for memory", "exit"],
)
def test_a_clip_that_ends_the_process_is_not_decodable_and_the_next_one_is(
    prober: Prober, clip: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    with monkeypatch.context() as patch:
        with_child(patch, f"child.MAX_CPU_SECONDS = 1\n{code}")
        found = looked(prober, clip)
    assert found.measures is None
    assert any(part in found.reason for part in reason.split("|")), found.reason
    prober.close()
    assert looked(prober, clip).measures


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "import time; time.sleep(60)",
        "print('hello', flush=True)",
        "def inspect_clip(*_): raise OSError(5, 'I/O error')",
    ],
    ids=["does not start", "hangs", "talks", "can't read the file"],
)
def test_trouble_that_is_not_the_clip_s_leaves_it_open(
    prober: Prober, clip: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    with_child(monkeypatch, code)
    monkeypatch.setattr(process, "WALL_SECONDS", 2)
    with pytest.raises(ClipUnavailable, match="can't be probed now"):
        looked(prober, clip)


def test_the_limits_are_in_force(prober: Prober, clip: Path) -> None:
    looked(prober, clip)
    limits = Path(f"/proc/{pid_of(prober)}/limits").read_text().splitlines()
    space = next(line for line in limits if line.startswith("Max address space"))
    assert space.split()[3] == str(child.MAX_MEMORY)


@pytest.mark.parametrize("how", ["SIGKILL", "exit"])
def test_it_ends_with_its_parent(clip: Path, how: str) -> None:
    end = "os.kill(os.getpid(), signal.SIGKILL)" if how == "SIGKILL" else "pass"
    code = f"""
import os, signal
from pathlib import Path
from adreel.purchase.probe import process
clip = Path({str(clip)!r})
process._prober.inspect(clip, "clip")
print(process._prober._child._process.pid, flush=True)
{end}
"""
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    pid = int(parent.stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1]:
        assert time.monotonic() < deadline, "the probe outlives its parent"
        time.sleep(0.02)


def test_a_forked_process_leaves_its_parent_s_probe_alone(clip: Path) -> None:
    code = f"""
import os
from pathlib import Path
from adreel.purchase.probe import process
clip = Path({str(clip)!r})
look = lambda: process._prober.inspect(clip, "clip")
look()
mine = process._prober._child._process.pid
pid = os.fork()
if not pid:
    look()
    os._exit(0 if process._prober._child._process.pid != mine else 1)
assert os.waitpid(pid, 0)[1] == 0
look()
assert process._prober._child._process.pid == mine
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_clips_are_looked_into_side_by_side_from_one_loop(clip: Path) -> None:
    found = await asyncio.gather(*(process.probe(clip) for _ in range(10)))
    assert all(each.measures for each in found)


def test_a_clip_that_ends_the_process_has_no_poster(
    prober: Prober, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poster = clip.with_suffix(".jpg")
    with monkeypatch.context() as patch:
        with_child(patch, "import os\ndef inspect_clip(*_): pass\ndef die(*_): os._exit(7)\nchild.draw_poster = die")
        poster.write_bytes(b"half")
        assert "status 7" in prober.draw_poster(clip, poster)
    assert not poster.exists()
    prober.close()
    assert prober.draw_poster(clip, poster) == ""
    assert poster.exists()
