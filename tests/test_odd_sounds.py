"""Sounds and stills that break off: each cut is noticed, so the file is downloaded again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adreel.emulator.images import InputImages
from adreel.emulator.rendering import render
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still
from adreel.purchase.probe.additions import inspect_sound, inspect_still
from adreel.purchase.probe.findings import Findings

VOICE = Sound("voice", "Good light", "inworld:tts@2", seed=1, seconds=0.8, format="FLAC", singer="Ashley")
STILL = Still("a lamp", "runware:400@2", seed=1, width=64, height=48, format="JPG")
INSPECTORS = {"voice": inspect_sound, "still": inspect_still}
NAMED_BYTES = 4
STEP = 131


@pytest.mark.parametrize("output", [VOICE, STILL], ids=["voice", "still"])
def test_a_file_that_breaks_off_anywhere_is_noticed(output: Sound | Still, tmp_path: Path) -> None:
    inspect, content = INSPECTORS[output.kind], _render(output, tmp_path)
    assert _inspected(inspect, content, tmp_path).truncation == ""
    lengths = [*range(len(content) - 60, len(content)), *range(NAMED_BYTES, len(content) - 60, STEP)]
    assert [length for length in lengths if not _inspected(inspect, content[:length], tmp_path).truncation] == []


@pytest.mark.parametrize("output", [VOICE, STILL], ids=["voice", "still"])
def test_noise_does_not_count_as_broken_off(output: Sound | Still, tmp_path: Path) -> None:
    found = _inspected(INSPECTORS[output.kind], b"noise" * 1000, tmp_path)
    assert found.reason
    assert found.measures is None
    assert found.truncation == ""


def _render(output: Sound | Still, folder: Path) -> bytes:
    return render(output, folder / f"whole{output.suffix}", InputImages()).read_bytes()


def _inspected(inspect: Callable[[Path], Findings], content: bytes, folder: Path) -> Findings:
    path = folder / "file"
    path.write_bytes(content)
    return inspect(path)
