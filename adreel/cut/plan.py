"""What the renderer gets: local files, sizes in pixels, lengths in frames. Plain data that JSON can carry."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

RATE = 30
"""Frames per second of every cut."""
SAMPLE_RATE = 48000
SAMPLES_PER_FRAME = SAMPLE_RATE // RATE
RENDERER = "2"
"""Version of the renderer. A change of its output needs a new one: cuts and segments are identified by it."""


@dataclass(frozen=True)
class ClipFacts:
    """A clip as the renderer will show it: its length in frames of a cut, and its upright size in square pixels."""

    frames: int
    width: int
    height: int
    has_sound: bool
    spoken: tuple[tuple[int, int], ...] = ()
    """Stretches with sound, each as its first frame and the first frame behind it."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caption:
    """A text on the picture, in frames of its segment; `end` is the first frame without it."""

    text: str
    start: int
    end: int
    words: tuple[tuple[str, int, int], ...] = ()
    """For the style `word`: each word with its first and last frame."""


@dataclass(frozen=True)
class Box:
    """An area in pixels that captions and the logo must not leave."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class SegmentPlan:
    """One clip as a segment of constant size, rate and length."""

    clip: str
    """Path of the local clip."""
    sha256: str
    width: int
    height: int
    fit: Literal["crop", "blur"]
    frames: int
    captions: tuple[Caption, ...] = ()
    caption_style: Literal["plain", "pill", "word"] = "pill"
    safe_area: Box | None = None
    """Where captions and the logo are drawn."""
    logo: str | None = None
    logo_corner: str = "top-right"


@dataclass(frozen=True)
class CardPlan:
    """The end card."""

    frames: int
    text: str
    url: str
    colors: tuple[str, ...] = ()


@dataclass(frozen=True)
class VoicePlan:
    """The narration of a scene, in its place. Its end is trimmed if it is longer than `frames`."""

    file: str
    """Path of the local sound."""
    start: int
    """The frame of the ad at which it starts."""
    frames: int
    speed: float


@dataclass(frozen=True)
class AssemblyPlan:
    """One finished file of segments in their order."""

    width: int
    height: int
    segments: tuple[str, ...]
    """Paths of rendered segments."""
    fade_frames: int
    """Overlap of neighbouring segments; 0 joins them as they are."""
    music: str | None
    music_below_voice: float
    voice: str | None
    """A narration from the start of the ad."""
    loudness: float
    voices: tuple[VoicePlan, ...] = ()
    """Narrations of scenes, in their order."""
    card: CardPlan | None = None
    title: str = ""
    composite: bool = False
    """Whether its segments have captions or a logo."""

    @property
    def is_composite(self) -> bool:
        """Whether anything but generated clips is in it: captions, a logo, a voice, music or an end card."""
        return self.composite or bool(self.voice or self.voices or self.music or self.card)


@dataclass(frozen=True)
class Measures:
    """A finished file as decoded again. Loudness in LUFS and true peak in dBTP are None for silence."""

    width: int
    height: int
    frames: int
    duration: float
    audio_duration: float
    loudness: float | None
    true_peak: float | None
    warnings: tuple[str, ...] = ()


LONGEST_MEASURED = 600
"""Seconds of sound. The samples of a longer film would not fit into the memory of the render process."""


@dataclass(frozen=True)
class FileFacts:
    """Any finished film, as placements look at it: `size` in bytes, lengths in seconds, rates in bit/s."""

    container: str
    size: int
    width: int
    height: int
    duration: float
    rate: float
    """Frames per second on average."""
    is_constant: bool
    """Whether every frame stands equally long."""
    video_codec: str
    profile: str
    pixel_format: str
    bit_rate: int
    """Of the whole file."""
    audio_codec: str | None
    audio_duration: float
    audio_bit_rate: int
    sample_rate: int
    index_first: bool
    """Whether a player can start before the whole file is there."""
    loudness: float | None
    """LUFS; None for silence, or for a film that is too long to be measured."""
    true_peak: float | None


@dataclass(frozen=True)
class Progress:
    """The share of a render that is done, and its present step."""

    done: float
    step: str


def to_json(plan: SegmentPlan | CardPlan | AssemblyPlan | ClipFacts | Measures | FileFacts) -> dict[str, Any]:
    """Return a plan as JSON values."""
    return asdict(plan)


def segment_plan(values: dict[str, Any]) -> SegmentPlan:
    """Return the plan that `to_json` wrote."""
    captions = tuple(
        Caption(**{**each, "words": tuple((word, start, end) for word, start, end in each["words"])})
        for each in values["captions"]
    )
    area = values["safe_area"] and Box(**values["safe_area"])
    return SegmentPlan(**{**values, "captions": captions, "safe_area": area})


def assembly_plan(values: dict[str, Any]) -> AssemblyPlan:
    """Return the plan that `to_json` wrote."""
    card = values["card"] and CardPlan(**{**values["card"], "colors": tuple(values["card"]["colors"])})
    voices = tuple(VoicePlan(**voice) for voice in values["voices"])
    return AssemblyPlan(**{**values, "segments": tuple(values["segments"]), "card": card, "voices": voices})


def clip_facts(values: dict[str, Any]) -> ClipFacts:
    """Return the facts that `to_json` wrote."""
    spoken = tuple((start, end) for start, end in values["spoken"])
    return ClipFacts(**{**values, "spoken": spoken, "warnings": tuple(values["warnings"])})


def measures(values: dict[str, Any]) -> Measures:
    """Return the measures that `to_json` wrote."""
    return Measures(**{**values, "warnings": tuple(values["warnings"])})
