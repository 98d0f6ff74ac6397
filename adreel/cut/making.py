"""Makes a cut: renders what the storage does not hold yet, publishes the files, and records them last.

A killed maker leaves segments or finished files without a record. The next one takes them over, so nothing is rendered
twice and no name gets a second file.
"""

import asyncio
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from adreel.cut.plan import AssemblyPlan, Caption, Measures, Progress, VoicePlan
from adreel.cut.planning import Planned
from adreel.cut.render.process import find_speech, inspect, measure, render
from adreel.cut.timing import cues_of_ad, spread_narration, within_scene
from adreel.errors import AdreelError, CutFailed, StorageError
from adreel.models.api import ClipWarning
from adreel.models.cut_settings import Format
from adreel.models.cuts import Cut, CutFile, CutSegment, cut_file_name, segment_path
from adreel.models.parts import Part
from adreel.models.srt import format_srt
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.records.export import copy_file
from adreel.records.inputs import input_path
from adreel.records.threads import transfer
from adreel.storage.crash_points import crash_point
from adreel.storage.media import CHUNK_BYTES, sha256_of

Report = Callable[[int, str], None]
"""Called with the progress in percent, and the step."""
PLANNED, RENDERED, FINISHED, DONE = 5, 60, 95, 100


async def make_cut(records: Records, planned: Planned, report: Report = lambda _percent, _step: None) -> Cut:
    """Make a planned cut and return its record. A cut that is made already is returned, and no byte is written."""
    if planned.made:
        return planned.made
    report(PLANNED, "planned")
    with records.storage.workspace() as folder:
        maker = _Maker(records, planned, report, folder)
        await maker.fetch()
        await maker.time_captions()
        await maker.render_segments()
        films = await maker.assemble()
        await maker.sign(films)
        files = [await maker.publish(film) for film in films]
        cut = await asyncio.to_thread(maker.record, files)
    report(DONE, "recorded")
    return cut


@dataclass(frozen=True)
class _Segment:
    """A scene of one format, and its file in the workspace."""

    number: int
    shape: Format
    path: Path


@dataclass(frozen=True)
class _Film:
    """The finished file of one format, in the workspace."""

    shape: Format
    path: Path
    plan: AssemblyPlan
    measures: Measures


class _Maker:
    """The steps of a cut in their order. All files are in `folder` until they are published."""

    def __init__(self, records: Records, planned: Planned, report: Report, folder: Path) -> None:
        self._records = records
        self._storage = records.storage
        self._planned = planned
        self._recipe = planned.recipe
        self._report = report
        self._folder = folder
        self._segments = [
            _Segment(number, shape, folder / planned.segment_name(number, shape))
            for shape in self._recipe.formats
            for number in range(len(self._recipe.takes))
        ]
        self._digests: dict[Path, str] = {}
        """Of the segments that are stored. Scenes with equal clips share one."""
        self._inputs: dict[str, Path] = {}
        """Files of the settings, by their fields."""
        self._sounds: dict[Part, Path] = {
            take.scenario: folder / take.clip.file for take in self._recipe.additions if take.clip
        }
        """Bought voices and music."""
        self._captions: list[tuple[Caption, ...]] = []
        self._warnings: list[ClipWarning] = []

    async def fetch(self) -> None:
        """Copy the voices, the music, the logo, the segments that are stored, and the clips of the others."""
        copies = {}
        for field, file in self._recipe.settings.named_files():
            if field != "cut.captions.file":
                path = input_path(self._recipe.session_id, file)
                self._inputs[field] = self._folder / Path(path).name
                copies[self._inputs[field]] = (path, Path(path).stem)

        def fetch_stored(segment: Path) -> None:
            path = segment_path(self._recipe.session_id, segment.name)
            if self._storage.exists(path):
                self._fetch(path, segment)
                self._digests[segment] = _digest(segment)

        segments = {segment.path for segment in self._segments}
        await asyncio.gather(*(transfer(fetch_stored, segment) for segment in segments))
        for segment in self._segments:
            if segment.path not in self._digests:
                clip = self._recipe.clips[segment.number]
                copies[self._folder / clip.file] = (clip.file, clip.sha256)
        for sound in self._recipe.recorded_additions:
            copies[self._sounds[sound.part]] = (sound.file, sound.sha256)
        await asyncio.gather(
            *(transfer(copy_file, self._records, path, sha256, target) for target, (path, sha256) in copies.items())
        )

    async def time_captions(self) -> None:
        """Place the captions of each scene by the speech in its voice, in the voice file, or in its own sound."""
        settings, narrations = self._recipe.settings, self._recipe.narrations
        films = {segment.number: segment.path for segment in self._segments}
        for segment in self._segments:
            if segment.path not in self._digests:
                films[segment.number] = self._folder / self._recipe.clips[segment.number].file
        facts = await inspect(
            list(films.values()),
            sounds=[
                *(path for field, path in self._inputs.items() if field != "cut.logo.file"),
                *self._sounds.values(),
            ],
            logos=[path for field, path in self._inputs.items() if field == "cut.logo.file"],
        )
        ad_frames = self._planned.starts[-1] + self._planned.frames[-1]
        voice = self._inputs.get("cut.voice") if any(narrations) else None
        [speech] = await find_speech([voice], ad_frames) if voice else [[]]
        bought = await self._speech_of_voices() if any(narrations) else {}
        self._warn(self._planned.warnings)
        for number, found in enumerate(facts):
            self._warn(f"scene {self._recipe.takes[number].scenario}: {warning}" for warning in found.warnings)
            if settings.captions is None:
                self._captions.append(())
            elif narration := narrations[number]:
                start, frames = self._planned.starts[number], self._planned.spoken_frames(number)
                spoken = within_scene(speech, start, frames) if voice else bought.get(number, found.spoken)
                self._captions.append(spread_narration(narration, frames, spoken))
            else:
                self._captions.append(self._planned.scene_cues(number))

    async def _speech_of_voices(self) -> dict[int, list[tuple[int, int]]]:
        """Return the stretches of each bought voice between its pauses, in frames of its scene."""
        placed = {
            number: (voice, self._sounds[take.scenario])
            for number, (voice, take) in enumerate(zip(self._planned.voices, self._recipe.voices, strict=True))
            if voice and take
        }
        if not placed:
            return {}
        longest = max(math.ceil((voice.end - voice.start) * voice.speed) for voice, _ in placed.values())
        found = await find_speech([file for _, file in placed.values()], longest)
        return {
            number: voice.stretches(stretches)
            for (number, (voice, _)), stretches in zip(placed.items(), found, strict=True)
        }

    async def render_segments(self) -> None:
        """Render the segments that the storage does not hold, and publish them."""
        logo = self._inputs.get("cut.logo.file")
        plans = {
            segment.path: self._planned.segment(
                segment.number,
                segment.shape,
                str(self._folder / self._recipe.clips[segment.number].file),
                self._captions[segment.number],
                str(logo) if logo else None,
            )
            for segment in self._segments
            if segment.path not in self._digests
        }
        if not plans:
            return
        await render(plans, {}, self._share(PLANNED, RENDERED))
        crash_point("segments rendered")

        def publish(segment: Path) -> None:
            path = segment_path(self._recipe.session_id, segment.name)
            if not self._storage.publish(segment, path):
                # Another maker was faster, perhaps with other bytes of the same picture.
                self._fetch(path, segment)
            self._digests[segment] = _digest(segment)

        for segment in plans:
            await transfer(publish, segment)
            crash_point("segment published")

    async def assemble(self) -> list[_Film]:
        """Join the segments of each format with the finished sound. The renderer checks each file by decoding it."""
        settings = self._recipe.settings
        voice, music = self._inputs.get("cut.voice"), self._inputs.get("cut.music.file")
        below_voice = settings.music.below_voice if settings.music else 0
        if bought := self._recipe.music:
            music, below_voice = self._sounds[bought.scenario], self._recipe.below_voice
        voices = tuple(
            VoicePlan(str(self._sounds[take.scenario]), start + placed.start, placed.end - placed.start, placed.speed)
            for start, placed, take in zip(self._planned.starts, self._planned.voices, self._recipe.voices, strict=True)
            if placed and take
        )
        plans = {}
        for shape in self._recipe.formats:
            width, height = self._recipe.size(shape)
            plans[shape] = AssemblyPlan(
                width=width,
                height=height,
                segments=tuple(str(segment.path) for segment in self._segments if segment.shape == shape),
                fade_frames=self._planned.fade_frames,
                music=str(music) if music else None,
                music_below_voice=below_voice,
                voice=str(voice) if voice else None,
                loudness=settings.loudness,
                voices=voices,
                card=self._planned.card,
                title=self._recipe.title,
                composite=any(self._captions) or settings.logo is not None,
            )
        session_id, cut_id = self._recipe.session_id, self._recipe.cut_id
        paths = {shape: self._folder / cut_file_name(session_id, cut_id, shape) for shape in plans}
        measures = await render(
            {}, {paths[shape]: plan for shape, plan in plans.items()}, self._share(RENDERED, FINISHED)
        )
        crash_point("cut rendered")
        return [_Film(shape, paths[shape], plan, measures[paths[shape]]) for shape, plan in plans.items()]

    async def sign(self, films: list[_Film]) -> None:
        """Sign the finished files, and decode them again: a signature moves the media in the file."""
        if (signer := self._planned.signer) is None:
            return
        for film in films:
            plan = film.plan
            takes = [*self._recipe.takes, *self._recipe.additions]
            await asyncio.to_thread(signer.sign, film.path, takes, title=plan.title, composite=plan.is_composite)
        for film, found in zip(films, await measure([film.path for film in films]), strict=True):
            if replace(found, warnings=film.measures.warnings) != film.measures:
                raise CutFailed(f"{film.path.name} is not the same film after signing")
        crash_point("cut signed")

    async def publish(self, film: _Film) -> CutFile:
        """Publish the poster, the captions and then the film. A film that is there already is taken over."""
        poster, srt = film.path.with_suffix(".jpg"), film.path.with_suffix(".srt")

        def publish_files() -> bool:
            self._storage.publish(poster, poster.name)
            crash_point("cut's poster published")
            if any(self._captions):
                cues = cues_of_ad(zip(self._planned.starts, self._captions, strict=True))
                srt.write_text(format_srt(cues), "utf-8")
                self._storage.publish(srt, srt.name)
                crash_point("cut's captions published")
            return self._storage.publish(film.path, film.path.name)

        is_first = await transfer(publish_files)
        crash_point("cut published")
        measures = film.measures if is_first else await self._adopt(film)
        self._warn(measures.warnings)
        return CutFile(
            format=film.shape,
            file=film.path.name,
            poster=poster.name,
            captions=srt.name if any(self._captions) else None,
            sha256=_digest(film.path),
            size=film.path.stat().st_size,
            width=measures.width,
            height=measures.height,
            duration=round(measures.duration, 3),
            frames=measures.frames,
            loudness=measures.loudness,
            true_peak=measures.true_peak,
        )

    async def _adopt(self, film: _Film) -> Measures:
        """Take over the published file: an earlier maker was killed before its record, or another one was faster."""
        video, ours, digest = film.path, film.measures, _digest(film.path)
        await transfer(self._fetch, video.name, video)
        if _digest(video) == digest:
            return ours
        error = StorageError(
            f"another file is at {self._storage.location(video.name)}: move it away, then make the cut again"
        )
        try:
            [found] = await measure([video])
        except AdreelError:
            raise error from None
        if (found.width, found.height, found.frames) != (ours.width, ours.height, ours.frames):
            raise error
        return replace(found, warnings=ours.warnings)

    def record(self, files: list[CutFile]) -> Cut:
        """Write the record of the cut, which comes last."""
        recipe = self._recipe
        segments = dict.fromkeys(segment.path for segment in self._segments)
        cut = Cut(
            session_id=recipe.session_id,
            cut_id=recipe.cut_id,
            digest=recipe.digest,
            created_at=utc_now(),
            renderer=recipe.renderer,
            inputs=recipe.inputs,
            additions=recipe.recorded_additions,
            settings=recipe.settings,
            options=recipe.options,
            files=files,
            segments=[CutSegment(file=path.name, sha256=self._digests[path]) for path in segments],
            warnings=self._warnings,
        )
        crash_point("before the cut's record")
        stored = self._records.save_cut(cut, self._planned.earlier)
        crash_point("after the cut's record")
        return stored

    def _fetch(self, path: str, target: Path) -> None:
        with self._storage.open(path) as source:
            # A published file of a local disk shares its bytes with the workspace's: a new file replaces the name.
            target.unlink(missing_ok=True)
            with target.open("xb") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)

    def _share(self, first: int, last: int) -> Callable[[Progress], None]:
        return lambda progress: self._report(first + round((last - first) * progress.done), progress.step)

    def _warn(self, messages: Iterable[str]) -> None:
        known = {warning.message for warning in self._warnings}
        self._warnings += [ClipWarning(code="cut", message=text) for text in messages if text not in known]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return sha256_of(stream)
