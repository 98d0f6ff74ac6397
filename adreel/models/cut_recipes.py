"""Recipes: everything that decides how a cut looks and sounds. The digest of a recipe identifies its cut."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adreel.errors import InputError, SceneMissing
from adreel.models.cut_settings import SIZES, CutOptions, CutSettings, EndCard, Format
from adreel.models.cuts import CutAddition, CutInput
from adreel.models.parts import VOICES, Addition, Part
from adreel.models.placements import Edges, find_placement, free_edges
from adreel.models.scenarios import Scenario
from adreel.models.sessions import MusicBed, Session
from adreel.models.takes import Clip, Take, VoiceRequest

ID_LENGTH = 8
MOST_PIXELS = 1080
USUAL_SIDES = (360, 480, 540, 720, 1080)
NEARLY = 0.07


@dataclass(frozen=True)
class Recipe:
    """The takes of a cut in the order of the ad, its resolved settings, and the texts on its picture."""

    session_id: str
    takes: tuple[Take, ...]
    voices: tuple[Take | None, ...]
    """The bought voice of each scene; None where there is none, or where a file is the voice of the ad."""
    music: Take | None
    """The bought music; None if a file is the music of the ad."""
    below_voice: float
    """Decibels of the bought music below the voice while it speaks."""
    settings: CutSettings
    options: CutOptions
    title: str
    colors: tuple[str, ...]
    renderer: str

    @property
    def formats(self) -> list[Format]:
        """The formats of the files, each once."""
        return self.settings.formats or []

    @property
    def narrations(self) -> list[str]:
        """The words of each scene that become captions."""
        captions = self.settings.captions
        if captions is None or captions.source != "narration":
            return ["" for _ in self.takes]
        # The words of the take: those of the session may have changed since it was bought.
        return [
            " ".join(spoken_words(voice or take).split()) for take, voice in zip(self.takes, self.voices, strict=True)
        ]

    @property
    def inputs(self) -> list[CutInput]:
        """The clips as they are recorded."""
        return [
            CutInput(
                scenario=take.scenario,
                job_id=take.job_id,
                take=take.short_id,
                file=clip.file,
                sha256=clip.sha256,
            )
            for take, clip in zip(self.takes, self.clips, strict=True)
        ]

    @property
    def additions(self) -> list[Take]:
        """The bought voices in the order of the ad, and the bought music."""
        return [take for take in (*self.voices, self.music) if take]

    @property
    def recorded_additions(self) -> list[CutAddition]:
        """The bought voices and the bought music as they are recorded."""
        return [
            CutAddition(
                part=Addition(take.scenario),
                job_id=take.job_id,
                take=take.short_id,
                file=take.clip.file,
                sha256=take.clip.sha256,
            )
            for take in self.additions
            if take.clip
        ]

    @property
    def clips(self) -> list[Clip]:
        """The clips of the takes."""
        return [take.clip for take in self.takes if take.clip]

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides how the files look and sound."""
        facts: dict[str, Any] = {
            "inputs": [clip.sha256 for clip in self.clips],
            "settings": _by_content(self.settings),
            "narrations": self.narrations,
            "free": self._free if self.settings.captions or self.settings.logo else (),
            "title": self.title,
            "colors": self.colors if self.settings.end_card else (),
            "renderer": self.renderer,
        }
        # A cut without bought sound keeps the digest that earlier versions gave it.
        if any(self.voices):
            facts["voices"] = [voice and voice.clip and voice.clip.sha256 for voice in self.voices]
        if self.music and self.music.clip:
            facts["music"] = [self.music.clip.sha256, self.below_voice]
        return canonical_digest(facts)

    @property
    def _free(self) -> list[Edges]:
        # The area and not the preset: a preset that changes nothing shares the cut of another one.
        return [free_edges(shape, self.options.preset) for shape in self.formats]

    @property
    def cut_id(self) -> str:
        """The digits of the digest that name the files."""
        return self.digest[:ID_LENGTH]

    @property
    def short_side(self) -> int:
        """The shorter side of every file in pixels: that of the largest clip."""
        side = min(max(min(clip.width, clip.height) for clip in self.clips), MOST_PIXELS)
        usual = min(USUAL_SIDES, key=lambda each: abs(math.log(each / side)))
        return usual if abs(usual / side - 1) <= NEARLY else max(2, side // 2 * 2)

    def size(self, shape: Format) -> tuple[int, int]:
        """Return the width and height of a file in pixels, both even."""
        short, (width, height) = self.short_side, SIZES[shape]
        longer = max(2, round(short * max(width, height) / min(width, height) / 2) * 2)
        return (longer, short) if width > height else (short, longer)


def make_recipe(session: Session, takes: Mapping[Part, Take], options: CutOptions, renderer: str) -> Recipe:
    """Combine a session, the current takes of all parts of its ad, and options.

    A voice or music that the settings take from a file replaces the bought one.

    Raises InputError for a wrong option, and SceneMissing if a scene has no clip.
    """
    if options.preset is not None:
        shown = find_placement(options.preset).formats
        if refused := [each for each in options.formats if each not in shown]:
            reason = f"{options.preset} does not show {', '.join(refused)}: choose from {', '.join(shown)}"
            raise InputError(reason, {"formats": reason})
    scenes = [scenario for scenario in Scenario if scenario in takes]
    missing = [scenario.value for scenario in Scenario if scenario not in takes]
    if missing and (not options.allow_missing or not scenes):
        raise SceneMissing(
            f"session {session.session_id!r} has no clip of {', '.join(missing)}: generate it first"
            + (", or use --allow-missing for a shorter ad" if scenes else "")
        )
    ordered = tuple(takes[scenario] for scenario in scenes)
    settings = session.cut or CutSettings()
    update: dict[str, Any] = {"formats": _formats(settings, options, [take.clip for take in ordered if take.clip])}
    if not options.captions:
        update["captions"] = None
    if settings.end_card:
        card = settings.end_card
        filled = {"text": card.text or session.product_name, "url": card.url or session.website_url}
        update["end_card"] = EndCard.model_validate({**card.model_dump(), **filled})
    return Recipe(
        session_id=session.session_id,
        takes=ordered,
        voices=tuple(None if settings.voice else takes.get(VOICES[scenario]) for scenario in scenes),
        music=None if settings.music else takes.get(Addition.MUSIC),
        below_voice=(session.music or MusicBed()).below_voice,
        settings=settings.model_copy(update=update),
        options=options,
        title=session.product_name,
        colors=tuple(session.brand_colors),
        renderer=renderer,
    )


def spoken_words(take: Take) -> str:
    """Return the words that are spoken in the file of a take."""
    if isinstance(take.request, VoiceRequest):
        return take.request.text
    return take.scene.dialog_narration if take.scene else ""


def _formats(settings: CutSettings, options: CutOptions, clips: Sequence[Clip]) -> list[Format]:
    wanted: list[Format] = list(options.formats or settings.formats or [])
    if options.preset is not None:
        wanted = list(options.formats or find_placement(options.preset).formats[:1])
    if not wanted:
        wanted = [_format_of(clips)]
    # The same formats in another order are the same cut.
    return [each for each in SIZES if each in wanted]


def _format_of(clips: Sequence[Clip]) -> Format:
    def nearest(clip: Clip) -> Format:
        shape = math.log(clip.width / clip.height)
        return min(SIZES, key=lambda each: abs(math.log(SIZES[each][0] / SIZES[each][1]) - shape))

    return Counter(nearest(clip) for clip in clips).most_common(1)[0][0]


def canonical_digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    ).hexdigest()


def _by_content(settings: CutSettings) -> dict[str, Any]:
    """Return the settings with the digests of named files, without their original names."""
    names = {file: file.partition("#")[0] for _, file in settings.named_files()}
    return settings.with_files(names).model_dump(mode="json", by_alias=True)
