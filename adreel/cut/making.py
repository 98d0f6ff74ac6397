"""Makes a cut: renders what the storage does not hold yet, publishes the files, and records them last.

A killed maker leaves segments or finished files without a record. The next one takes them over, so nothing is rendered
twice and no name gets a second file.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adreel.cut.plan import AssemblyPlan, Caption, Measures, Progress
from adreel.cut.planning import Planned
from adreel.cut.render import inspect, measure, render
from adreel.cut.timing import cues_of_ad, spread_narration
from adreel.errors import AdreelError, CutFailed, StorageError
from adreel.models.api import ClipWarning
from adreel.models.cut_settings import Format
from adreel.models.cuts import Cut, CutFile, CutSegment, cut_file_name, segment_path
from adreel.models.srt import format_srt
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.records.export import copy_file
from adreel.records.inputs import input_path
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
        return await _Maker(records, planned, report, folder).make()


@dataclass
class _Segment:
    """A scene of one format: its file in the workspace, and the digest of that file."""

    number: int
    shape: Format
    name: str
    path: Path
    sha256: str = ""


class _Maker:
    def __init__(self, records: Records, planned: Planned, report: Report, folder: Path) -> None:
        self._records = records
        self._storage = records.storage
        self._planned = planned
        self._recipe = planned.recipe
        self._report = report
        self._folder = folder
        self._inputs: dict[str, str] = {}
        self._warnings: list[ClipWarning] = []
        self._captions: list[tuple[Caption, ...]] = []

    async def make(self) -> Cut:
        segments = [
            _Segment(number, shape, name, self._folder / name)
            for shape in self._recipe.formats
            for number in range(len(self._recipe.takes))
            for name in [self._planned.segment_name(number, shape)]
        ]
        await self._fetch_inputs()
        await self._fetch_segments(segments)
        await self._time_captions(segments)
        await self._render_segments([segment for segment in segments if not segment.sha256])
        files = await self._finish(segments)
        cut = await asyncio.to_thread(self._record, files, segments)
        self._report(DONE, "recorded")
        return cut

    async def _fetch_inputs(self) -> None:
        """Copy the voice, the music and the logo to the workspace."""

        def fetch(file: str) -> str:
            path = input_path(self._recipe.session_id, file)
            target = self._folder / Path(path).name
            copy_file(self._records, path, Path(path).stem, target)
            return str(target)

        for field, file in self._recipe.settings.named_files():
            if field != "cut.captions.file":
                self._inputs[field] = await asyncio.to_thread(fetch, file)

    async def _fetch_segments(self, segments: list[_Segment]) -> None:
        """Copy the segments that the storage holds, and the clips of the others."""

        def fetch(segment: _Segment) -> None:
            stored = self._segment_path(segment)
            if self._storage.exists(stored):
                self._fetch(stored, segment.path)
                segment.sha256 = _digest(segment.path)

        await asyncio.gather(*(asyncio.to_thread(fetch, segment) for segment in segments))
        needed = {segment.number for segment in segments if not segment.sha256}
        clips = [self._recipe.clips[number] for number in sorted(needed)]
        await asyncio.gather(
            *(
                asyncio.to_thread(copy_file, self._records, clip.file, clip.sha256, self._folder / clip.file)
                for clip in {clip.file: clip for clip in clips}.values()
            )
        )

    async def _time_captions(self, segments: list[_Segment]) -> None:
        """Place the captions of each scene, by the sound of its clip or of a stored segment."""
        settings, narrations = self._recipe.settings, self._recipe.narrations
        files = []
        for number, clip in enumerate(self._recipe.clips):
            own = [segment for segment in segments if segment.number == number]
            is_new = any(not segment.sha256 for segment in own)
            files.append(self._folder / clip.file if is_new else own[0].path)
        sounds = [Path(file) for field, file in self._inputs.items() if field != "cut.logo.file"]
        logos = [Path(file) for field, file in self._inputs.items() if field == "cut.logo.file"]
        facts = await inspect(files, sounds=sounds, logos=logos)
        for take, found in zip(self._recipe.takes, facts, strict=True):
            self._warn(f"scene {take.scenario}: {warning}" for warning in found.warnings)
        for number, found in enumerate(facts):
            if settings.captions is None:
                self._captions.append(())
            elif narration := narrations[number]:
                # A voice of its own is not timed by the sound of the clips.
                spoken = () if settings.voice else found.spoken
                self._captions.append(spread_narration(narration, self._planned.frames[number], spoken))
            else:
                self._captions.append(self._planned.scene_cues(number))

    async def _render_segments(self, segments: list[_Segment]) -> None:
        if not segments:
            return
        plans = {
            segment.path: self._planned.segment(
                segment.number,
                segment.shape,
                str(self._folder / self._recipe.clips[segment.number].file),
                self._captions[segment.number],
                self._inputs.get("cut.logo.file"),
            )
            for segment in segments
        }
        await render(plans, {}, self._share(PLANNED, RENDERED))
        crash_point("segments rendered")
        for segment in segments:
            await asyncio.to_thread(self._publish_segment, segment)
            crash_point("segment published")

    def _publish_segment(self, segment: _Segment) -> None:
        if not self._storage.publish(segment.path, self._segment_path(segment)):
            # Another maker was faster, perhaps with other bytes of the same picture.
            self._fetch(self._segment_path(segment), segment.path)
        segment.sha256 = _digest(segment.path)

    async def _finish(self, segments: list[_Segment]) -> list[CutFile]:
        """Assemble, check and publish the file of each format."""
        plans = {
            self._folder / self._name(shape, ".mp4"): self._assembly(
                shape, [segment.path for segment in segments if segment.shape == shape]
            )
            for shape in self._recipe.formats
        }
        measures = await render({}, plans, self._share(RENDERED, FINISHED))
        crash_point("cut rendered")
        await self._sign(plans, measures)
        files = []
        for shape in self._recipe.formats:
            video = self._folder / self._name(shape, ".mp4")
            is_first = await asyncio.to_thread(self._publish, shape)
            crash_point("cut published")
            found = measures[video] if is_first else await self._adopt(video, measures[video])
            files.append(self._describe(shape, found))
        return files

    async def _sign(self, plans: Mapping[Path, AssemblyPlan], measures: Mapping[Path, Measures]) -> None:
        """Sign the finished files, and decode them again: a signature moves the media in the file."""
        if (signer := self._planned.signer) is None:
            return
        for video, plan in plans.items():
            await asyncio.to_thread(
                signer.sign, video, self._recipe.takes, title=plan.title, composite=plan.is_composite
            )
        for video, found in zip(plans, await measure(list(plans)), strict=True):
            if replace(found, warnings=measures[video].warnings) != measures[video]:
                raise CutFailed(f"{video.name} is not the same film after signing")
        crash_point("cut signed")

    async def _adopt(self, video: Path, ours: Measures) -> Measures:
        """Take over the published file: an earlier maker was killed before its record, or another one was faster."""
        digest = _digest(video)
        await asyncio.to_thread(self._fetch, video.name, video)
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

    def _assembly(self, shape: Format, segments: list[Path]) -> AssemblyPlan:
        settings, (width, height) = self._recipe.settings, self._recipe.size(shape)
        return AssemblyPlan(
            width=width,
            height=height,
            segments=tuple(map(str, segments)),
            fade_frames=self._planned.fade_frames,
            music=self._inputs.get("cut.music.file"),
            music_below_voice=settings.music.below_voice if settings.music else 0,
            voice=self._inputs.get("cut.voice"),
            loudness=settings.loudness,
            card=self._planned.card,
            title=self._recipe.title,
            composite=any(self._captions) or settings.logo is not None,
        )

    def _srt(self) -> str:
        return format_srt(cues_of_ad(zip(self._planned.starts, self._captions, strict=True)))

    def _publish(self, shape: Format) -> bool:
        """Publish the poster, the captions and then the file of a format; False if there is such a file."""
        video, poster, srt = (self._folder / self._name(shape, suffix) for suffix in (".mp4", ".jpg", ".srt"))
        self._storage.publish(poster, poster.name)
        crash_point("cut's poster published")
        if any(self._captions):
            cues = cues_of_ad(zip(self._planned.starts, self._captions, strict=True))
            srt.write_text(format_srt(cues), "utf-8")
            self._storage.publish(srt, srt.name)
            crash_point("cut's captions published")
        return self._storage.publish(video, video.name)

    def _describe(self, shape: Format, measures: Measures) -> CutFile:
        video = self._folder / self._name(shape, ".mp4")
        self._warn(measures.warnings)
        return CutFile(
            format=shape,
            file=video.name,
            poster=self._name(shape, ".jpg"),
            captions=self._name(shape, ".srt") if any(self._captions) else None,
            sha256=_digest(video),
            size=video.stat().st_size,
            width=measures.width,
            height=measures.height,
            duration=round(measures.duration, 3),
            frames=measures.frames,
            loudness=measures.loudness,
            true_peak=measures.true_peak,
        )

    def _fetch(self, path: str, target: Path) -> None:
        with self._storage.open(path) as source:
            # A published file of a local disk shares its bytes with the workspace's: a new file replaces the name.
            target.unlink(missing_ok=True)
            with target.open("xb") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)

    def _record(self, files: list[CutFile], segments: list[_Segment]) -> Cut:
        recipe = self._recipe
        kept = {segment.name: CutSegment(file=segment.name, sha256=segment.sha256) for segment in segments}
        cut = Cut(
            session_id=recipe.session_id,
            cut_id=recipe.cut_id,
            digest=recipe.digest,
            created_at=utc_now(),
            renderer=recipe.renderer,
            inputs=recipe.inputs,
            settings=recipe.settings,
            options=recipe.options,
            files=files,
            segments=list(kept.values()),
            warnings=self._warnings,
        )
        crash_point("before the cut's record")
        stored = self._records.save_cut(cut, self._planned.earlier)
        crash_point("after the cut's record")
        return stored

    def _share(self, first: int, last: int) -> Callable[[Progress], None]:
        return lambda progress: self._report(first + round((last - first) * progress.done), progress.step)

    def _segment_path(self, segment: _Segment) -> str:
        return segment_path(self._recipe.session_id, segment.name)

    def _name(self, shape: Format, suffix: str) -> str:
        return cut_file_name(self._recipe.session_id, self._recipe.cut_id, shape, suffix)

    def _warn(self, messages: Iterable[str]) -> None:
        known = {warning.message for warning in self._warnings}
        self._warnings += [ClipWarning(code="cut", message=text) for text in messages if text not in known]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return sha256_of(stream)
