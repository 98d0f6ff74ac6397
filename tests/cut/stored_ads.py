"""Sessions whose four scenes have tiny clips, as a purchase stores them."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

from adreel.cut.plan import RENDERER, SAMPLE_RATE
from adreel.cut.render.samples import SAMPLE_BYTES
from adreel.models.cut_recipes import make_recipe
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.cuts import Cut, CutFile, CutSegment, cut_file_name, segment_path
from adreel.models.parts import VOICES, Addition, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, parse_session
from adreel.models.takes import AttemptState, Clip, Job, MusicRequest, Take, VoiceRequest, clip_name
from adreel.records import Records
from adreel.records.views import current_takes
from tests.cut.sounds import write_flac
from tests.factories import NOW, make_take, save_job, scene_data, session_data, write_film

SECONDS = {Scenario.HOOK: 0.5, Scenario.PROBLEM: 0.6, Scenario.SOLUTION: 0.7, Scenario.CTA: 0.8}
"""Lengths by which the clips are told apart."""
FRAMES = 15 + 18 + 21 + 24


def store_ad(records: Records, folder: Path, *, scenarios: list[Scenario] | None = None, **changes: Any) -> None:
    """Store a session with a `cut` block or other changes, and a clip of each scene."""
    records.save_session(parse_session(session_data(**changes), folder=folder))
    scenarios = list(Scenario) if scenarios is None else scenarios
    if scenarios:
        save_job(records, Job(job_id="job-1", session_id="ad", scenarios=scenarios, created_at=NOW, ended_at=NOW))
    for scenario in scenarios:
        store_clip(records, folder, scenario)


def store_clip(
    records: Records,
    folder: Path,
    scenario: Scenario,
    *,
    job_id: str = "job-1",
    seconds: float | None = None,
    narration: str = "",
    minute: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Take:
    """Store a take of a scene with a film that is as long as told."""
    take = make_take(scenario=scenario, job_id=job_id, minute=minute)
    assert take.scene
    take.scene.dialog_narration = narration
    seconds = SECONDS[scenario] if seconds is None else seconds
    film = write_film(folder / "film.mp4", seconds)
    content = film.read_bytes()
    take.clip = Clip(
        file=clip_name(take),
        poster=clip_name(take, ".jpg"),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        duration=seconds,
        width=size[0],
        height=size[1],
    )
    poster = folder / "poster.jpg"
    poster.write_bytes(b"a poster")
    records.storage.publish(film, take.clip.file)
    records.storage.publish(poster, clip_name(take, ".jpg"))
    film.unlink(missing_ok=True)
    poster.unlink(missing_ok=True)
    records.save_take(take)
    if job_id != "job-1":
        save_job(records, Job(job_id=job_id, session_id="ad", scenarios=[scenario], created_at=NOW, ended_at=NOW))
    return take


def store_voice(
    records: Records,
    folder: Path,
    scenario: Scenario,
    samples: bytes,
    text: str = "Read on.",
    *,
    job_id: str = "job-1",
    minute: int = 0,
) -> Take:
    """Store a take of a scene's narration with its sound."""
    request = VoiceRequest(model="inworld:tts@2", text=text, voice="Ashley")
    return _store_sound(
        records, folder, VOICES[scenario], request=request, samples=samples, job_id=job_id, minute=minute
    )


def store_music(records: Records, folder: Path, samples: bytes, *, job_id: str = "job-1", minute: int = 0) -> Take:
    """Store a take of the music with its sound."""
    request = MusicRequest(model="runware:ace-step@v1.5-base", prompt="calm piano", duration=30)
    return _store_sound(records, folder, Addition.MUSIC, request=request, samples=samples, job_id=job_id, minute=minute)


def _store_sound(
    records: Records,
    folder: Path,
    part: Addition,
    *,
    request: VoiceRequest | MusicRequest,
    samples: bytes,
    job_id: str,
    minute: int,
) -> Take:
    scenario, at = scenario_of(part), NOW + timedelta(minutes=minute)
    take = Take(
        session_id="ad",
        scenario=part,
        job_id=job_id,
        created_at=at,
        updated_at=at,
        scene=SceneDescription.model_validate(scene_data(scenario.value)) if scenario else None,
        request=request,
    )
    take.plan_attempt(at).cost = 0.001
    take.advance(AttemptState.STORED)
    source = write_flac(folder / "sound.flac", samples)
    content = source.read_bytes()
    take.clip = Clip(
        file=clip_name(take),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        duration=round(len(samples) / SAMPLE_BYTES / SAMPLE_RATE, 3),
    )
    records.storage.publish(source, take.clip.file)
    source.unlink(missing_ok=True)
    records.save_take(take)

    def add_part(job: Job | None) -> Job:
        job = job or Job(job_id=job_id, session_id="ad", scenarios=[part], created_at=NOW, ended_at=NOW)
        return job.model_copy(update={"scenarios": list(dict.fromkeys([*job.scenarios, part]))})

    records.update_job(job_id, add_part)
    return take


def save_cut(records: Records, *, minute: int = 0, options: CutOptions | None = None, segment: str = "a.mkv") -> Cut:
    """Record a cut of the current takes, with some bytes as its files."""
    recipe = make_recipe(records.session("ad"), current_takes(records, "ad"), options or CutOptions(), "1")
    name = cut_file_name("ad", recipe.cut_id, recipe.formats[0])
    content = f"the film of {name}".encode()
    for path in (name, name.replace(".mp4", ".jpg"), segment_path("ad", segment)):
        records.storage.write(path, content)
    file = CutFile(
        format=recipe.formats[0],
        file=name,
        poster=name.replace(".mp4", ".jpg"),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        width=48,
        height=48,
        duration=2.6,
        frames=78,
    )
    cut = Cut(
        session_id="ad",
        cut_id=recipe.cut_id,
        digest=recipe.digest,
        created_at=NOW + timedelta(minutes=minute),
        renderer="1",
        inputs=recipe.inputs,
        additions=recipe.recorded_additions,
        settings=recipe.settings,
        options=recipe.options,
        files=[file],
        segments=[CutSegment(file=segment, sha256=hashlib.sha256(content).hexdigest())],
    )
    return records.save_cut(cut)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the bytes and the time of the last change of every file in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def store_cut(
    records: Records, folder: Path, shape: Format = "16:9", *, session_id: str = "ad", minute: int = 0
) -> Cut:
    """Store a finished ad of the current clips, with some bytes as its files, as if it had been rendered."""
    options = CutOptions(formats=(shape,))
    recipe = make_recipe(records.session(session_id), current_takes(records, session_id), options, RENDERER)
    width, height = recipe.size(shape)
    content = f"the film {recipe.digest}".encode()
    names = {suffix: cut_file_name(session_id, recipe.cut_id, shape, suffix) for suffix in (".mp4", ".jpg", ".srt")}
    for name in names.values():
        source = folder / "source"
        source.write_bytes(content)
        records.storage.publish(source, name)
        source.unlink(missing_ok=True)
    file = CutFile(
        format=shape,
        file=names[".mp4"],
        poster=names[".jpg"],
        captions=names[".srt"],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        width=width,
        height=height,
        duration=sum(SECONDS.values()),
        frames=FRAMES,
    )
    cut = Cut(
        session_id=session_id,
        cut_id=recipe.cut_id,
        digest=recipe.digest,
        created_at=NOW + timedelta(minutes=minute),
        renderer=RENDERER,
        inputs=recipe.inputs,
        additions=recipe.recorded_additions,
        settings=recipe.settings,
        options=options,
        files=[file],
    )
    return records.save_cut(cut)
