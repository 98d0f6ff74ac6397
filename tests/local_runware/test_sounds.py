"""Voices and music: real files as ordered, measured by FFmpeg."""

import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest

from adreel.emulator.sounds import spoken_seconds
from tests.local_runware.additions import FORMATS, WORDS, WORDS_SECONDS, new_facts, play, speak
from tests.local_runware.client import Item, Rest, Starting, poll, url_of

CODECS = {"MP3": "mp3float", "WAV": "pcm_s16le", "FLAC": "flac", "OGG": "opus"}
TYPES = {"MP3": "audio/mpeg", "WAV": "audio/wav", "FLAC": "audio/flac", "OGG": "audio/ogg"}
TOTAL_SAMPLES = slice(21, 26)
"""Bytes of a FLAC file's STREAMINFO whose lower 36 bits are the number of samples."""


@dataclass(frozen=True)
class Heard:
    """What a decoder finds in a file: its codec and seconds, and the samples' rate, number and channels."""

    codec: str
    seconds: float
    rate: int
    samples: int
    channels: int


def listen(content: bytes) -> Heard:
    with av.open(BytesIO(content), "r") as container:
        stream = container.streams.audio[0]
        seconds = (container.duration or 0) / av.time_base
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return Heard(stream.codec_context.name, seconds, stream.rate, samples, stream.channels)


def measure(content: bytes, folder: Path, *, filters: str) -> str:
    """Decode a file by FFmpeg's own program and return what its filters print."""
    file = folder / "sound"
    file.write_bytes(content)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-xerror", "-i", str(file)]
    run = subprocess.run([*command, "-af", filters, "-f", "null", "-"], capture_output=True, text=True, check=True)
    return run.stderr


def loudness(content: bytes, folder: Path) -> float:
    """Return the loudness of a file in LUFS."""
    [found] = re.findall(r"I:\s+(-?[\d.]+) LUFS", measure(content, folder, filters="ebur128=framelog=quiet"))
    return float(found)


def silences(content: bytes, folder: Path) -> list[tuple[float, float]]:
    """Return start and length of each silence of a tenth of a second or more."""
    text = measure(content, folder, filters="silencedetect=noise=-45dB:duration=0.1")
    starts, lengths = (re.findall(rf"silence_{name}: ([\d.]+)", text) for name in ("start", "duration"))
    return [(float(start), float(length)) for start, length in zip(starts, lengths, strict=True)]


@pytest.fixture
async def rest(start: Starting) -> Rest:
    return await start(facts=new_facts())


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_voice_lasts_as_long_as_its_words(rest: Rest, tmp_path: Path, audio_format: str) -> None:
    heard = listen(content := await rest.made(speak(outputFormat=audio_format)))
    assert (heard.codec, heard.channels) == (CODECS[audio_format], 1)
    assert heard.samples / heard.rate == pytest.approx(WORDS_SECONDS, abs=0.001)
    assert heard.seconds == pytest.approx(WORDS_SECONDS, abs=0.05)
    assert loudness(content, tmp_path) == pytest.approx(-20, abs=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Hi", 0.4),
        ("Run with light.", 1.2),
        ("one two three four five six seven eight nine ten", 4),
        ("\u591c\u3082\u5149\u308b\u3002", 0.8),
        ("\u591c\u3082\u5149\u308b Glow Cap", 0.8 + 0.8),
        ("\u0e27\u0e34\u0e48\u0e07", 0.2),
        ("Run \u2013 with light.", 1.2),
        ("\ubc24\uc5d0\ub3c4 \ube5b\ub098\ub294 \ubaa8\uc790", 1.2),
        ("... \u2026", 0.8),
    ],
)
def test_length_follows_the_words_or_the_characters(text: str, seconds: float) -> None:
    assert spoken_seconds(text, 1) == pytest.approx(seconds)
    assert spoken_seconds(text, 2) == pytest.approx(seconds / 2)


async def test_faster_voice_is_shorter(rest: Rest) -> None:
    heard = listen(await rest.made(speak(speech_speed=1.25)))
    assert heard.samples / heard.rate == pytest.approx(WORDS_SECONDS / 1.25, abs=0.001)


async def test_voice_pauses_between_sentences_only(rest: Rest, tmp_path: Path) -> None:
    found = silences(await rest.made(speak()), tmp_path)
    assert len(found) == WORDS.count(". ") + WORDS.count("! ")
    assert all(0.15 < length < 0.4 for _, length in found)


async def test_voices_sound_unlike_each_other(rest: Rest) -> None:
    first, again = await rest.made(speak()), await rest.made(speak())
    assert first == again
    assert first != await rest.made(speak(speech_voice="Craig"))


async def test_header_of_a_flac_has_its_length(rest: Rest) -> None:
    content = await rest.made(speak())
    samples = int.from_bytes(content[TOTAL_SAMPLES]) % 2**36
    assert (content[:4], samples) == (b"fLaC", listen(content).samples)


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_music_lasts_as_long_as_ordered(rest: Rest, tmp_path: Path, audio_format: str) -> None:
    heard = listen(content := await rest.made(play(duration=31.5, outputFormat=audio_format)))
    assert (heard.codec, heard.rate, heard.channels) == (CODECS[audio_format], 48000, 2)
    assert heard.samples == 31.5 * 48000
    assert silences(content, tmp_path) == []
    assert -24 < loudness(content, tmp_path) < -14


async def test_music_without_a_length_has_the_usual_one(rest: Rest) -> None:
    assert listen(await rest.made(play(duration=None))).seconds == 60


async def test_music_follows_the_seed(rest: Rest) -> None:
    first = await rest.made(play(seed=1))
    assert first == await rest.made(play(seed=1))
    assert first != await rest.made(play(seed=2))


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_result_names_a_file_of_its_type(rest: Rest, audio_format: str) -> None:
    task = await rest.order(speak(outputFormat=audio_format))
    result = await rest.ended(task)
    assert result.keys() == {"taskType", "taskUUID", "status", "audioUUID", "audioURL", "cost"}
    assert (result["taskType"], result["taskUUID"]) == ("audioInference", task["taskUUID"])
    response = await rest.http.get(result["audioURL"])
    assert response.headers["content-type"] == TYPES[audio_format]
    part = await rest.http.get(result["audioURL"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, response.content[10:20])
    other = await rest.http.get(result["audioURL"].rpartition(".")[0] + ".mp4")
    assert other.status_code == 404


async def test_cost_is_only_told_if_asked_for(rest: Rest) -> None:
    result = await rest.ended(await rest.order(speak(includeCost=False)))
    assert "cost" not in result
    assert rest.server.ledger.billed > 0


async def test_second_submit_is_a_conflict(rest: Rest) -> None:
    task = await rest.order(speak())
    [error] = (await rest.post([task])).json()["errors"]
    assert (error["code"], error["taskType"]) == ("conflictTaskUUID", "audioInference")
    assert len(rest.server.ledger.entries) == 1


async def test_task_details_have_request_and_result(rest: Rest) -> None:
    task = await rest.order(speak())
    result = await rest.ended(task)
    [details] = (await rest.post([{"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]}])).json()["data"]
    assert (details["request"], details["response"]) == ([task], {"data": [result]})


async def test_unknown_models_speak_and_play(rest: Rest) -> None:
    assert listen(await rest.made(speak(model="local:voice@1"))).samples
    assert listen(await rest.made(play(model="local:music@1", duration=2))).seconds == 2


async def test_one_film_keeps_the_lengths(start: Starting) -> None:
    rest = await start(facts=new_facts(), one_film=True)
    first, second = await rest.made(speak("One two three.")), await rest.made(speak("Six seven eight."))
    assert first == second
    assert listen(first).seconds == pytest.approx(1.2)


async def oddity_of(start: Starting, fault: str, task: Item) -> tuple[Rest, bytes]:
    rest = await start(facts=new_facts(), faults=[fault])
    content = await rest.made(task)
    [entry] = rest.server.ledger.entries
    assert entry.oddity == fault.partition(":")[0]
    url = url_of((await rest.post(poll(entry.uuid))).json()["data"][0])
    assert (await rest.http.get(url)).content == content
    return rest, content


async def test_sound_can_be_shorter_than_ordered(start: Starting) -> None:
    _, content = await oddity_of(start, "shorterSound", play())
    assert listen(content).seconds == 15


@pytest.mark.parametrize("task", [speak(), play()], ids=["voice", "music"])
async def test_sound_can_be_silent(start: Starting, tmp_path: Path, task: Item) -> None:
    _, content = await oddity_of(start, "silentSound", task)
    [(beginning, length)] = silences(content, tmp_path)
    assert beginning == 0
    assert length == pytest.approx(listen(content).seconds, abs=0.01)


async def test_sound_can_be_truncated(start: Starting) -> None:
    _, content = await oddity_of(start, "truncatedSound", speak())
    announced = int.from_bytes(content[TOTAL_SAMPLES]) % 2**36
    decoded = 0
    with av.open(BytesIO(content), "r") as container, suppress(av.FFmpegError):
        for frame in container.decode(audio=0):
            decoded += frame.samples
    assert 0 < decoded < 0.7 * announced


async def test_sound_can_be_noise(start: Starting) -> None:
    _, content = await oddity_of(start, "undecodableSound:voice", speak())
    with pytest.raises(av.FFmpegError):
        listen(content)


async def test_faults_of_sounds_leave_clips_alone(start: Starting) -> None:
    rest = await start(facts=new_facts(), faults=["undecodableSound", "undecodableBytes", "truncatedStill"])
    await rest.bought()
    await rest.made(speak())
    assert [entry.oddity for entry in rest.server.ledger.entries] == ["undecodableBytes", "undecodableSound"]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [("emptyBody", 200, "audio/flac"), ("html200", 200, "text/html"), ("gone404", 404, "text/html")],
)
async def test_downloads_fail_as_those_of_clips(start: Starting, name: str, status: int, kind: str) -> None:
    rest = await start(facts=new_facts(), faults=[f"{name}:voice"])
    url = url_of(await rest.ended(await rest.order(speak())))
    response: Any = await rest.http.get(url)
    assert (response.status_code, response.headers["content-type"]) == (status, kind)
    assert listen((await rest.http.get(url)).content).samples
