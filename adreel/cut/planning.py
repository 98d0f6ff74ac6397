"""What a cut needs, checked before any work: clips, files, captions, fades."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from PIL import ImageColor

from adreel.cut.plan import RATE, RENDERER, Box, Caption, CardPlan, SegmentPlan
from adreel.cut.signing import Signer
from adreel.cut.timing import captions_of_scene, phrases
from adreel.cut.voices import FASTEST, PlacedVoice, place_voice
from adreel.errors import InputError
from adreel.models.cut_recipes import Recipe, canonical_digest, make_recipe
from adreel.models.cut_settings import CutOptions, CutSettings, Format
from adreel.models.cuts import Cut
from adreel.models.parts import Part, shown_name
from adreel.models.placements import free_edges
from adreel.models.sessions import INPUT_PATTERN, Session
from adreel.models.srt import Cue, parse_srt
from adreel.models.takes import Take
from adreel.records import Records
from adreel.records.inputs import display_name, has_input, read_input
from adreel.records.views import current_takes

DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Planned:
    """A cut to make. With `made`, it is made already."""

    recipe: Recipe
    cues: tuple[Cue, ...] = ()
    """Captions of an SRT file."""
    made: Cut | None = None
    earlier: Cut | None = None
    """A record of the same cut whose files are gone."""
    signer: Signer | None = None
    """Signs the finished files."""

    @property
    def frames(self) -> list[int]:
        """The length of each scene in frames."""
        return [max(1, round(clip.duration * RATE)) for clip in self.recipe.clips]

    @property
    def fade_frames(self) -> int:
        """The overlap of neighbouring scenes in frames."""
        transition = self.recipe.settings.transition
        is_fade = transition.kind == "fade" and len(self.recipe.takes) > 1
        return max(1, round(transition.seconds * RATE)) if is_fade else 0

    @property
    def starts(self) -> list[int]:
        """The frame of the ad at which each scene starts."""
        return [sum(self.frames[:number]) - number * self.fade_frames for number in range(len(self.frames))]

    @property
    def seconds(self) -> float:
        """The length of the ad."""
        scenes = self.starts[-1] + self.frames[-1]
        return (scenes + self.card.frames - self.fade_frames if self.card else scenes) / RATE

    @property
    def card(self) -> CardPlan | None:
        """The end card."""
        card = self.recipe.settings.end_card
        if card is None:
            return None
        # Brand colours are words for the video model too. The card takes those that are colours.
        colors = []
        for color in self.recipe.colors:
            with suppress(ValueError):
                ImageColor.getrgb(color)
                colors.append(color)
        # People read and type addresses without the scheme.
        address = re.sub(r"^https?://", "", card.url, flags=re.IGNORECASE).rstrip("/")
        return CardPlan(max(1, round(card.seconds * RATE)), card.text, address, tuple(colors))

    def spoken_frames(self, number: int) -> int:
        """Return the length of a scene for its captions and its voice: they end before the fade to the next scene."""
        is_last = number + 1 == len(self.frames) and self.card is None
        return self.frames[number] - (0 if is_last else self.fade_frames)

    @property
    def voices(self) -> list[PlacedVoice | None]:
        """The place of the bought voice of each scene."""
        return [
            place_voice(voice.clip.duration, self.spoken_frames(number)) if voice and voice.clip else None
            for number, voice in enumerate(self.recipe.voices)
        ]

    @property
    def warnings(self) -> list[str]:
        """What a person should know before the cut is made, one sentence each."""
        found = []
        for number, (voice, take) in enumerate(zip(self.voices, self.recipe.voices, strict=True)):
            if voice and voice.lost and take and take.clip:
                scene, room = self.recipe.takes[number].scenario, self.spoken_frames(number) / RATE
                found.append(
                    f"scene {scene}: its voice lasts {take.clip.duration:.1f} s, and the scene has {room:.1f} s for it:"
                    f" its last {voice.lost:.1f} s are not heard, although it is spoken {FASTEST:g} times as fast:"
                    " shorten the narration and buy the voice again;"
                    f" `adreel regenerate {self.recipe.session_id} {shown_name(take.scenario)}`"
                )
        return found

    def scene_cues(self, number: int) -> tuple[Caption, ...]:
        """Return the captions of an SRT file that are seen in a scene."""
        return captions_of_scene(self.cues, self.starts[number], self.spoken_frames(number))

    def segment_name(self, number: int, shape: Format) -> str:
        """Return the name of a scene's segment, which identifies everything that decides how it looks and sounds."""
        settings, (width, height) = self.recipe.settings, self.recipe.size(shape)
        captions: dict[str, object] | None = None
        if settings.captions:
            cues = [[cue.text, cue.start, cue.end] for cue in self.scene_cues(number)]
            if words := self.recipe.narrations[number] or cues:
                captions = {"words": words, "style": settings.captions.style, "frames": self.spoken_frames(number)}
            if captions and settings.voice:
                # The voice is heard from the start of the ad, and decides when the words are shown.
                captions |= {"voice": settings.voice.partition("#")[0], "from": self.starts[number]}
            elif captions and self.recipe.narrations[number] and (take := self.recipe.voices[number]) and take.clip:
                # Its place follows from its length and from that of the scene.
                captions |= {"voice": take.clip.sha256, "seconds": take.clip.duration}
        logo = [settings.logo.file.partition("#")[0], settings.logo.corner] if settings.logo else None
        facts = {
            "clip": self.recipe.clips[number].sha256,
            "size": [width, height],
            "fit": settings.fit,
            "frames": self.frames[number],
            "captions": captions,
            "logo": logo,
            "safe_area": safe_area(self.recipe, shape) if captions or logo else None,
            "renderer": RENDERER,
        }
        return f"{canonical_digest(facts)[:DIGEST_LENGTH]}.mkv"

    def segment(
        self, number: int, shape: Format, clip: str, captions: tuple[Caption, ...], logo: str | None
    ) -> SegmentPlan:
        """Return the plan of a scene's segment, for local files."""
        settings, (width, height) = self.recipe.settings, self.recipe.size(shape)
        plan = SegmentPlan(
            clip=clip,
            sha256=self.recipe.clips[number].sha256,
            width=width,
            height=height,
            fit=settings.fit,
            frames=self.frames[number],
            safe_area=Box(*safe_area(self.recipe, shape)),
            logo=logo,
        )
        if settings.captions:
            plan = replace(plan, captions=captions, caption_style=settings.captions.style)
        if settings.logo:
            plan = replace(plan, logo_corner=settings.logo.corner)
        return plan


def plan_cut(
    records: Records, session: Session | str, options: CutOptions | None = None, signer: Signer | None = None
) -> Planned:
    """Check what a cut needs; InputError in one sentence before any work. A cut that is made already is `made`.

    `session` is the id of a stored session, or such a session with another `cut` block that is not stored yet.
    """
    # A signed file is another cut than the unsigned one.
    renderer = f"{RENDERER}+{signer.name}" if signer else RENDERER
    session = records.session(session) if isinstance(session, str) else session
    session_id = session.session_id
    takes: Mapping[Part, Take] = current_takes(records, session_id)
    planned = Planned(make_recipe(session, takes, options or CutOptions(), renderer), signer=signer)
    if found := records.cut(session_id, planned.recipe.cut_id):
        if all(records.storage.exists(name) for name in found.file_names):
            return replace(planned, made=found)
        planned = replace(planned, earlier=found)
    _check_fades(planned)
    for field, file in planned.recipe.settings.named_files():
        if not INPUT_PATTERN.fullmatch(file):
            raise InputError(
                f"{field} {file!r} is not in the folder of session {session_id!r}: name it in a session file, and give"
                " that file to `adreel cut`"
            )
        if not has_input(records.storage, session_id, file):
            raise InputError(
                f"{field}: the copy of {display_name(file)!r} is gone from the folder of session {session_id!r}: name"
                " the file again"
            )
    captions = planned.recipe.settings.captions
    if captions and captions.source == "file":
        if captions.file is None:
            raise InputError("cut.captions: `from: file` needs the file: name an SRT file")
        content = read_input(records.storage, session_id, captions.file)
        cues = parse_srt(content, f"cut.captions.file {display_name(captions.file)!r}")
        planned = replace(planned, cues=tuple(cues))
    _check_texts(planned)
    return planned


def glyph_warnings(session: Session) -> list[str]:
    """Return which texts of a session its finished ad could not show, one sentence each."""
    from adreel.cut.render.fonts import check_glyphs  # noqa: PLC0415 - Pillow

    settings, texts = session.cut or CutSettings(), {}
    if settings.captions and settings.captions.source == "narration":
        texts = {f"the captions of scene {each.scenario}": each.dialog_narration for each in session.scene_descriptions}
    if card := settings.end_card:
        texts["its end card"] = f"{card.text or session.product_name} {card.url or session.website_url}"
    warnings = []
    for place, text in texts.items():
        try:
            check_glyphs(text)
        except InputError as error:
            warnings.append(f"the finished ad can't show {place}: {error}")
    return warnings


def safe_area(recipe: Recipe, shape: Format) -> tuple[int, int, int, int]:
    """Return the area of captions and the logo in pixels: left, top, right, bottom."""
    width, height = recipe.size(shape)
    left, top, right, bottom = free_edges(shape, recipe.options.preset)
    return round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))


def _check_fades(planned: Planned) -> None:
    fade, parts = planned.fade_frames, [f"scene {take.scenario}" for take in planned.recipe.takes]
    lengths = planned.frames
    if planned.card:
        parts, lengths = [*parts, "the end card"], [*lengths, planned.card.frames]
    for part, frames in zip(parts, lengths, strict=True):
        if fade > frames // 2:
            raise InputError(
                f"cut.transition: a fade of {fade / RATE:g} s does not fit {part}, which lasts {frames / RATE:g} s: a"
                " fade may be at most half as long as its shorter neighbour"
            )


def _check_texts(planned: Planned) -> None:
    """Lay out every text once, so that a missing letter or a text that is too long is told before any work."""
    # They load Pillow and the decoder.
    from adreel.cut.render.captions import layout  # noqa: PLC0415
    from adreel.cut.render.card import layout_card  # noqa: PLC0415
    from adreel.cut.render.logo import area_above  # noqa: PLC0415

    recipe, place, way_out = planned.recipe, "", ""
    for shape in recipe.formats:
        try:
            if captions := recipe.settings.captions:
                area, logo = Box(*safe_area(recipe, shape)), recipe.settings.logo
                area = area_above(area, logo.corner if logo else "", recipe.size(shape)[1])
                for number, take in enumerate(recipe.takes):
                    place, way_out = f"scene {take.scenario}", "; without captions the ad can be made"
                    texts = [" ".join(phrase) for phrase in phrases(recipe.narrations[number])]
                    for text in texts + [cue.text for cue in planned.scene_cues(number)]:
                        layout(text, area, captions.style)
            if card := planned.card:
                place, way_out = "cut.end_card", ""
                layout_card(card, *recipe.size(shape))
        except InputError as error:
            raise InputError(f"{place}, {shape}: {error}{way_out}") from None
