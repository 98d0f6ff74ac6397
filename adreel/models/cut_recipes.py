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
from adreel.models.cuts import CutInput
from adreel.models.placements import Edges, find_placement, free_edges
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.takes import Clip, Take

ID_LENGTH = 8
MOST_PIXELS = 1080
USUAL_SIDES = (360, 480, 540, 720, 1080)
NEARLY = 0.07


@dataclass(frozen=True)
class Recipe:
    """The takes of a cut in the order of the ad, its resolved settings, and the texts on its picture."""

    session_id: str
    takes: tuple[Take, ...]
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
        # The words of the take: those of the session may have changed since the clip was bought.
        return [" ".join(take.scene.dialog_narration.split()) for take in self.takes]

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
    def clips(self) -> list[Clip]:
        """The clips of the takes."""
        return [take.clip for take in self.takes if take.clip]

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides how the files look and sound."""
        return canonical_digest(
            {
                "inputs": [clip.sha256 for clip in self.clips],
                "settings": _by_content(self.settings),
                "narrations": self.narrations,
                "free": self._free if self.settings.captions or self.settings.logo else (),
                "title": self.title,
                "colors": self.colors if self.settings.end_card else (),
                "renderer": self.renderer,
            }
        )

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


def make_recipe(session: Session, takes: Mapping[Scenario, Take], options: CutOptions, renderer: str) -> Recipe:
    """Combine a session, its current takes and options.

    Raises InputError for a wrong option, and SceneMissing if a scene has no clip.
    """
    if options.preset is not None:
        shown = find_placement(options.preset).formats
        if refused := [each for each in options.formats if each not in shown]:
            reason = f"{options.preset} does not show {', '.join(refused)}: choose from {', '.join(shown)}"
            raise InputError(reason, {"formats": reason})
    missing = [scenario.value for scenario in Scenario if scenario not in takes]
    if missing and (not options.allow_missing or not takes):
        raise SceneMissing(
            f"session {session.session_id!r} has no clip of {', '.join(missing)}: generate it first"
            + (", or use --allow-missing for a shorter ad" if takes else "")
        )
    ordered = tuple(takes[scenario] for scenario in Scenario if scenario in takes)
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
        settings=settings.model_copy(update=update),
        options=options,
        title=session.product_name,
        colors=tuple(session.brand_colors),
        renderer=renderer,
    )


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
