"""The sound of a cut: loudness, music below the voice, and files of all kinds."""

import math
from array import array
from pathlib import Path

import pytest

from adreel.cut.render.samples import SAMPLE_BYTES, active_stretches, measure
from adreel.cut.render.sound import ducked, encode, looped, mix
from adreel.cut.render.sources import file_samples
from tests.cut.cutter import Cutter
from tests.cut.measuring import ffmpeg
from tests.cut.sounds import RATE, loudest, part, silence, sine, write_sound
from tests.cut.unlike_clips import CLIPS, Clip


@pytest.mark.parametrize("decibels", [-45.0, -20.0, -1.0])
def test_sound_is_brought_to_its_loudness(tmp_path: Path, decibels: float) -> None:
    encoded = encode(sine(2, decibels), -14, tmp_path / "sound.m4a")
    assert encoded.loudness.integrated == pytest.approx(-14, abs=0.2)
    assert encoded.loudness.peak <= -1
    assert encoded.warnings == ()


def test_peaks_are_limited(tmp_path: Path) -> None:
    quiet, loud = sine(0.95, -34), sine(0.05, -1, 1000)
    encoded = encode((quiet + loud) * 3, -14, tmp_path / "sound.m4a")
    assert encoded.loudness.integrated == pytest.approx(-14, abs=0.5)
    assert encoded.loudness.peak <= -1


def test_impossible_loudness_is_told(tmp_path: Path) -> None:
    click = sine(0.001, -1, 1000) + silence(0.199)
    encoded = encode(click * 10, -9, tmp_path / "sound.m4a")
    assert encoded.loudness.peak <= -1
    assert any("peaks that allow" in warning for warning in encoded.warnings)


@pytest.mark.parametrize(("decibels", "warning"), [(-math.inf, "no sound"), (-75, "almost silent")])
def test_near_silence_is_not_raised(tmp_path: Path, decibels: float, warning: str) -> None:
    encoded = encode(sine(1, decibels), -14, tmp_path / "sound.m4a")
    assert encoded.loudness.is_silent
    assert encoded.loudness.peak < -60
    assert warning in encoded.warnings[0]


VOICE = silence(1) + sine(2, -20) + silence(3) + sine(2, -20) + silence(2)


@pytest.mark.parametrize("decibels", [-50.0, -30.0, -6.0])
@pytest.mark.parametrize("below", [6.0, 12.0, 20.0])
def test_music_is_below_the_voice(decibels: float, below: float) -> None:
    bed = ducked(sine(10, decibels, 800), VOICE, below, lift=6)
    for start, end in ((1, 3), (6, 8)):
        found = measure(part(VOICE, start, end)).integrated - measure(part(bed, start, end)).integrated
        # Music is raised by 20 dB at most: more would raise its hiss.
        assert found == pytest.approx(max(below, -20 - decibels - 20), abs=1)
        assert found >= below - 0.2
    under, between = measure(part(bed, 6.2, 7.8)), measure(part(bed, 4, 5.5))
    assert between.integrated - under.integrated == pytest.approx(6, abs=0.5)


def test_a_silent_film_leaves_music_as_it_is() -> None:
    music = sine(1, -20)
    mixed = mix(silence(3), None, music, 12)
    assert len(mixed) == len(silence(3))
    assert measure(part(mixed, 0.5, 2)).integrated == pytest.approx(measure(music).integrated, abs=0.5)


def test_without_a_voice_the_clips_speak() -> None:
    mixed = array("f", mix(VOICE, None, sine(10, -20, 800), 12))
    bed = array("f", (both - clips for both, clips in zip(mixed, array("f", VOICE), strict=True))).tobytes()
    speech = measure(part(VOICE, 1, 3)).integrated
    assert measure(part(bed, 1.2, 2.8)).integrated == pytest.approx(speech - 12, abs=1)
    assert measure(part(bed, 4, 5.5)).integrated == pytest.approx(speech - 6, abs=1)


def test_music_is_repeated_and_fades_out() -> None:
    music = looped(sine(0.7, -20), len(silence(4)))
    assert len(music) == len(silence(4))
    assert loudest(part(music, 1.9, 2.4)) == pytest.approx(0.1, abs=0.01)
    assert loudest(part(music, 3.9, 4)) < 0.015
    assert loudest(part(music, 3.1, 3.3)) < loudest(part(music, 2.6, 2.8))


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_a_voice_of_another_length_leaves_the_film_as_it_is(seconds: float) -> None:
    mixed = mix(sine(2, -30), sine(seconds, -20, 800), None, 12)
    assert len(mixed) == len(silence(2))
    assert loudest(mixed[-SAMPLE_BYTES * 10 :]) < 0.04


def test_the_voice_is_above_the_clips() -> None:
    clips = sine(10, -10, 800)
    mixed = mix(clips, VOICE, None, 12)
    louder = measure(part(mixed, 4, 5.5)).integrated
    speech = measure(part(VOICE, 1, 3)).integrated
    assert measure(part(mixed, 1.2, 2.8)).integrated == pytest.approx(speech + 10 * math.log10(1 + 10**-0.6), abs=1)
    assert louder == pytest.approx(speech, abs=1)


@pytest.mark.parametrize(
    ("name", "layout", "rate"),
    [
        ("a.wav", "mono", 44100),
        ("a.flac", "stereo", 96000),
        ("a.mp3", "stereo", 44100),
        ("a.ogg", "stereo", 48000),
        ("a.m4a", "5.1", 44100),
    ],
)
def test_files_of_all_kinds_are_read(tmp_path: Path, name: str, layout: str, rate: int) -> None:
    samples = file_samples(write_sound(tmp_path / name, layout=layout, rate=rate), 10 * RATE)
    assert len(samples) / SAMPLE_BYTES / RATE == pytest.approx(3, abs=0.06)
    assert loudest(part(samples, 1, 2)) > 0.1


def test_loudspeakers_without_names_are_read(tmp_path: Path) -> None:
    """A WAV file of two channels with no mask."""
    path = write_sound(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    mask = content.find(b"fmt ")
    assert mask > 0
    ffmpeg("-v", "error", "-i", path, "-af", "aformat=channel_layouts=2c", tmp_path / "b.wav")
    assert loudest(file_samples(tmp_path / "b.wav", RATE)) > 0.1


def test_pauses_end_stretches() -> None:
    edges = [edge / RATE for stretch in active_stretches(VOICE) for edge in stretch]
    assert edges == pytest.approx([1, 3, 6, 8], abs=0.05)
    assert active_stretches(silence(2)) == []


def band(path: Path, pitch: float, start: float, end: float) -> float:
    """Return the loudness of a pitch in a stretch of a file, as FFmpeg's own program measures it."""
    filters = f"atrim={start}:{end},bandpass=f={pitch}:width_type=h:w=50,bandpass=f={pitch}:width_type=h:w=50,ebur128"
    _, said = ffmpeg("-i", path, "-af", filters, "-f", "null", "-")
    return float(said[said.rindex("I:") :].split()[1])


async def test_a_film_has_its_music_below_its_voice(cutter: Cutter, tmp_path: Path) -> None:
    clips = [Clip(f"bare-{number}", sound="", pictures=60) for number in range(2)]
    voice = write_sound(tmp_path / "voice.wav", seconds=1.5, layout="mono", rate=44100, pitch=300)
    music = write_sound(tmp_path / "music.mp3", seconds=2.5, pitch=3000)
    out, measures = await cutter.cut(clips, voice=str(voice), music=str(music), music_below_voice=15)
    assert measures.loudness == pytest.approx(-14, abs=0.5)
    # The ear, and the filter of the measure, favour 3000 Hz by 4 dB; the level of the music has them already.
    below = band(out, 300, 0.2, 1.3) - band(out, 3000, 0.2, 1.3)
    assert below >= 15
    assert band(out, 3000, 2, 3) - band(out, 3000, 0.2, 1.3) == pytest.approx(6, abs=1)


async def test_a_film_without_sound_is_told(cutter: Cutter) -> None:
    silent = next(clip for clip in CLIPS if not clip.sound)
    _, measures = await cutter.cut([silent])
    assert (measures.loudness, measures.true_peak) == (None, None)
    assert measures.warnings == ("there is no sound in it",)
