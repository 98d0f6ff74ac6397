"""Valid sessions, takes and clips, to be changed by the tests that need them otherwise."""

import hashlib
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
from PIL import Image

from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session, parse_session
from adreel.models.takes import AttemptState, Choices, Clip, ClipRequest, Job, Problem, Take, clip_name
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
    scenario: Scenario = Scenario.HOOK,
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
        scene=SceneDescription.model_validate(scene_data(scenario.value)),
        request=ClipRequest(model="bytedance:2@2", prompt="a lamp", duration=5, width=64, height=48),
        problem=Problem(code="test", message=problem) if problem else None,
    )
    if state is None:
        return take
    attempt = take.plan_attempt(at)
    take.advance(state)
    if state in {AttemptState.RENDERED, AttemptState.STORED}:
        attempt.url, attempt.cost, attempt.seed = "https://vm.runware.ai/clip.mp4", cost, 42
    if state == AttemptState.STORED:
        take.clip = Clip(
            file=clip_name(take),
            poster=clip_name(take, ".jpg"),
            sha256="0" * 64,
            size=1000,
            duration=5,
            width=64,
            height=48,
        )
    return take


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
