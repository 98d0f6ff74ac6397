"""Where a bought voice is heard in its scene, and how the voices of all scenes become one sound."""

from itertools import pairwise
from pathlib import Path

import pytest

from adreel.cut.plan import SAMPLES_PER_FRAME, VoicePlan
from adreel.cut.render.narration import narration
from adreel.cut.render.samples import SAMPLE_BYTES, active_stretches, measure
from adreel.cut.voices import PlacedVoice, place_voice
from adreel.errors import InputError
from tests.cut.cutter import Cutter
from tests.cut.sounds import RATE, loudest, part, silence, sine, words, write_flac
from tests.cut.test_sound import band
from tests.cut.unlike_clips import Clip


@pytest.mark.parametrize(
    ("seconds", "frames", "placed"),
    [
        (2.0, 150, PlacedVoice(6, 66)),
        (4.6, 150, PlacedVoice(6, 144)),
        (1.01, 150, PlacedVoice(6, 37)),
        # As much room behind it as before it.
        (4.8, 150, PlacedVoice(3, 147)),
        (5.0, 150, PlacedVoice(0, 150)),
        (5.5, 150, PlacedVoice(0, 150, 1.1)),
        (6.0, 150, PlacedVoice(0, 150, 1.2)),
        (7.0, 150, PlacedVoice(0, 150, 1.2, 1.0)),
        (0.01, 150, PlacedVoice(6, 7)),
        (3.0, 1, PlacedVoice(0, 1, 1.2, 3.0)),
    ],
)
def test_a_voice_is_placed_by_its_length(seconds: float, frames: int, placed: PlacedVoice) -> None:
    assert place_voice(seconds, frames) == placed


@pytest.mark.parametrize("frames", [1, 15, 90, 150])
def test_every_voice_ends_in_its_scene(frames: int) -> None:
    for hundredths in range(1, 1000, 7):
        placed = place_voice(hundredths / 100, frames)
        assert 0 <= placed.start < placed.end <= frames
        assert 1 <= placed.speed <= 1.2
        assert bool(placed.lost) == (round(hundredths / 100 - frames / 30 * 1.2, 1) > 0)


def test_stretches_of_the_file_follow_its_place_and_speed() -> None:
    assert PlacedVoice(6, 66).stretches([(10, 30), (40, 60)]) == [(16, 36), (46, 66)]
    assert PlacedVoice(0, 50, 1.2).stretches([(12, 90)]) == [(10, 50)]
    assert PlacedVoice(6, 66).stretches([]) == [(6, 66)]


def test_voices_are_equally_loud_at_their_places(tmp_path: Path) -> None:
    quiet = write_flac(tmp_path / "quiet.flac", words(4, decibels=-35))
    loud = write_flac(tmp_path / "loud.flac", words(4, before=0.5, behind=0.5, decibels=-6))
    plans = [VoicePlan(str(quiet), 12, 48, 1), VoicePlan(str(loud), 96, 78, 1)]
    track = narration(plans, 7 * RATE)
    assert len(track) == len(silence(7))
    edges = [edge / RATE for stretch in active_stretches(track) for edge in stretch]
    # A gap is within the last word.
    assert edges == pytest.approx([0.4, 1.9, 3.7, 5.2], abs=0.05)
    levels = [measure(part(track, start, end)).integrated for start, end in ((0.4, 1.9), (3.7, 5.2))]
    assert levels == pytest.approx([-20, -20], abs=0.7)


def test_a_faster_voice_keeps_its_pitch(tmp_path: Path) -> None:
    file = write_flac(tmp_path / "voice.flac", sine(2.4, -20))
    track = narration([VoicePlan(str(file), 0, 60, 1.2)], 3 * RATE)
    assert loudest(part(track, 2, 3)) == 0
    assert loudest(part(track, 1.9, 1.95)) > 0.05
    middle = memoryview(part(track, 0.5, 1.5)).cast("f")[::2]
    crossings = sum(before < 0 <= after for before, after in pairwise(middle))
    assert crossings == pytest.approx(300, abs=6)


def test_a_trimmed_voice_fades_out(tmp_path: Path) -> None:
    file = write_flac(tmp_path / "voice.flac", sine(3, -20))
    track = narration([VoicePlan(str(file), 30, 30, 1)], 3 * RATE)
    assert loudest(part(track, 1.5, 1.8)) > 0.05
    assert loudest(track[60 * SAMPLES_PER_FRAME * SAMPLE_BYTES - 20 * SAMPLE_BYTES :]) < 0.002


async def test_clips_are_lowered_while_a_voice_speaks(cutter: Cutter, tmp_path: Path) -> None:
    """The clips hum at 300 Hz, and the voices are at 1000 Hz."""
    clips = [Clip(f"hum-{number}", pictures=90) for number in range(2)]
    file = write_flac(tmp_path / "voice.flac", words(3, decibels=-40, pitch=1000))
    out, measures = await cutter.cut(clips, voices=tuple(VoicePlan(str(file), start, 50, 1) for start in (6, 96)))
    assert measures.frames == 180
    assert measures.loudness == pytest.approx(-14, abs=0.5)
    for start in (0.2, 3.2):
        assert band(out, 1000, start, start + 1.1) - band(out, 300, start, start + 1.1) >= 5
        assert band(out, 300, start + 1.8, start + 2.6) - band(out, 300, start, start + 1.1) >= 5


def test_silence_is_not_raised_and_a_broken_voice_is_refused(tmp_path: Path) -> None:
    file = write_flac(tmp_path / "voice.flac", silence(1))
    assert loudest(narration([VoicePlan(str(file), 0, 30, 1)], RATE)) == 0
    file.write_bytes(b"no sound")
    with pytest.raises(InputError, match="no sound in it"):
        narration([VoicePlan(str(file), 0, 30, 1)], RATE)
