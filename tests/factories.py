"""Valid sessions, takes and clips, to be changed by the tests that need them otherwise."""

import hashlib
from array import array
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import pi, sin
from pathlib import Path
from random import Random
from typing import Any

import av
from PIL import Image

from adreel.models.parts import Part, kind_of, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session, parse_session
from adreel.models.takes import (
    AttemptState,
    Choices,
    Clip,
    ClipRequest,
    Job,
    MusicRequest,
    Problem,
    StillRequest,
    Take,
    VoiceRequest,
    clip_name,
)
from adreel.records import Records

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BLACK = (b"\x10", b"\x80", b"\x80")


def scene_data(scenario: str = "hook", **changes: Any) -> dict[str, Any]:
    return {"scenario": scenario, "duration": 5, "visual_description": f"a lamp in the {scenario}", **changes}


def session_data(*, seconds: float = 5, **changes: Any) -> dict[str, Any]:
    scenes = [scene_data(scenario.value, duration=seconds) for scenario in Scenario]
    return {"session_id": "ad", "product_name": "Lamp", "scene_descriptions": scenes, **changes}


def make_session(**changes: Any) -> Session:
    return parse_session(session_data(**changes))


def make_take(
    state: AttemptState | None = AttemptState.STORED,
    *,
    scenario: Part = Scenario.HOOK,
    job_id: str = "job-1",
    session_id: str = "ad",
    minute: int = 0,
    cost: float | None = 0.11,
    problem: str | None = None,
) -> Take:
    """Return a take whose only attempt is in a state (None: no attempt), begun some minutes after NOW."""
    at = NOW + timedelta(minutes=minute)
    take = Take(
        session_id=session_id,
        scenario=scenario,
        job_id=job_id,
        created_at=at,
        updated_at=at,
        scene=SceneDescription.model_validate(scene_data(str(scenario_of(scenario))))
        if scenario_of(scenario)
        else None,
        request=make_request(scenario),
        problem=Problem(code="test", message=problem) if problem else None,
    )
    if state is None:
        return take
    attempt = take.plan_attempt(at)
    take.advance(state)
    if state in {AttemptState.RENDERED, AttemptState.STORED}:
        attempt.url, attempt.cost, attempt.seed = "https://vm.runware.ai/clip.mp4", cost, 42
    if state == AttemptState.STORED:
        take.clip = Clip(file=clip_name(take), sha256="0" * 64, size=1000, **measures_of(scenario))
        take.clip.poster = clip_name(take, ".jpg") if kind_of(scenario) == "clip" else None
    return take


def make_request(part: Part) -> ClipRequest | VoiceRequest | MusicRequest | StillRequest:
    """Return a request of the kind of a part."""
    match kind_of(part):
        case "voice":
            return VoiceRequest(model="inworld:tts@2", text="Light, wherever you are.", voice="Ashley")
        case "music":
            return MusicRequest(model="runware:ace-step@v1.5-base", prompt="calm piano", duration=30)
        case "still":
            return StillRequest(model="meta:muse@image", prompt="a lamp", width=64, height=48)
    return ClipRequest(model="bytedance:2@2", prompt="a lamp", duration=5, width=64, height=48)


def measures_of(part: Part) -> dict[str, Any]:
    """Return what is measured of the file of a part."""
    sound, picture = {"loudness": -16.5}, {"width": 64, "height": 48}
    measures: dict[str, dict[str, Any]] = {
        "clip": {"duration": 5, **picture},
        "voice": {"duration": 2.5, **sound},
        "music": {"duration": 30, **sound},
        "still": picture,
    }
    return measures[kind_of(part)]


def write_image(path: Path, kind: str = "PNG", shade: int = 0) -> Path:
    """Write a small image in a format of Pillow, regardless of its name."""
    Image.new("RGB", (16, 9), (shade, 80, 120)).save(path, kind)
    return path


def write_film(
    path: Path,
    seconds: float,
    *,
    video: bool = True,
    audio: bool = False,
    black: float = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write an MP4 of noise (which does not compress, so a cut shows) with its index in front, `black` at first."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        picture = container.add_stream("libx264", rate=10) if video else None
        if picture:
            # What this leaves out, x264 does in one of two ways with such a small picture, now this, now that.
            picture.options = {"preset": "ultrafast"}
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        if audio:
            sound = container.add_stream("aac", rate=8000, layout="mono")
            samples = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            samples.sample_rate, samples.pts, samples.time_base = 8000, 0, Fraction(1, 8000)
            for silence in samples.planes:
                silence.update(bytes(silence.buffer_size))
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
        if picture:
            noise = Random(0)  # noqa: S311 - the same film every time
            for number in range(round(seconds * 10)):
                frame = av.VideoFrame(*size, "yuv420p")
                frame.pts = number
                for plane, dark in zip(frame.planes, BLACK, strict=True):
                    noisy = noise.randbytes(plane.buffer_size)
                    plane.update(noisy if number >= black * 10 else dark * plane.buffer_size)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
    return path


def write_sound(path: Path, seconds: float, *, silent: bool = False) -> Path:
    """Write a FLAC of a tone, or of silence, whose header has its length."""
    rate, pitch = 8000, 440
    # The tone repeats after a tenth of a second.
    waves = [0 if silent else round(6000 * sin(2 * pi * pitch * n / rate)) for n in range(rate // 10)]
    samples = array("h", (waves[n % len(waves)] for n in range(round(seconds * rate))))
    # By default, eight kilobytes of padding would be the larger half of a short sound.
    with av.open(str(path), "w", format="flac", options={"metadata_header_padding": "0"}) as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        for start in range(0, len(samples), 4096):
            block = samples[start : start + 4096].tobytes()
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(block) // 2)
            frame.sample_rate, frame.pts = rate, start
            frame.planes[0].update(block.ljust(frame.planes[0].buffer_size, b"\0"))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def save_job(records: Records, job: Job) -> None:
    """Write a job, over an existing one."""
    records.update_job(job.job_id, lambda _: job)


def save_choices(records: Records, session_id: str, choices: Choices) -> None:
    """Write choices, over existing ones."""
    records.update_choices(session_id, lambda _: choices)


def store_take(records: Records, take: Take, folder: Path) -> Take:
    """Publish some bytes as the clip and the poster of a stored take, and save its record."""
    assert take.clip is not None
    content = f"the clip of {take.attempts[-1].uuid}".encode()
    take.clip.sha256, take.clip.size = hashlib.sha256(content).hexdigest(), len(content)
    for name in filter(None, (take.clip.file, take.clip.poster)):
        source = folder / "source"
        source.write_bytes(content)
        records.storage.publish(source, name)
        source.unlink()
    records.save_take(take)
    return take
