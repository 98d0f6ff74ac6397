"""Requests and responses of the HTTP API."""

import json
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from adreel.errors import InputError
from adreel.models.cut_settings import CutOptions
from adreel.models.documents import check_texts
from adreel.models.parts import PARTS, Part
from adreel.models.sessions import (
    Identifier,
    ImageInputs,
    MusicBed,
    RenderOptions,
    SceneChanges,
    SceneDescription,
    Session,
    Voice,
    WordChanges,
)
from adreel.text import control_character

INPUT_FILE_PATTERN = r"^[0-9a-f]{64}\.(png|jpg|webp)$"
WEB_IMAGE_PATTERN = r"^(https://\S+|inputs/[0-9a-f]{64}\.(png|jpg|webp)(#.*)?)$"


def check_web_image(image: str) -> str:
    """Validate an image of a request. A file name, as in a local session file, would read files of the server."""
    if not re.fullmatch(WEB_IMAGE_PATTERN, image):
        raise ValueError("it is neither an https URL nor the `input` of an uploaded image")
    return image


WebImage = Annotated[
    str,
    AfterValidator(check_web_image),
    Field(max_length=2000, json_schema_extra={"pattern": WEB_IMAGE_PATTERN}),
]


def _name_parts(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    # A union would report an error for each of its members.
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(f"it is no part of an ad: choose from {', '.join(PARTS)}") from None


NamedPart = Annotated[Part, WrapValidator(_name_parts)]
"""A part in a request."""


class State(StrEnum):
    """State of a scene, a job or a session; `partial` is for jobs and sessions only.

    A cancelled scene has no clip because a person, or the end of its process, stopped its job.
    """

    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"
    CANCELLED = "cancelled"


WITHOUT_CLIP = frozenset({State.FAILED, State.CANCELLED})
"""States of a scene that has ended without a clip."""


class ClipWarning(BaseModel, extra="allow"):
    """A difference between a description and its request, or between an order and its clip."""

    code: str = Field(examples=["shorterThanAsked"])
    message: str = Field(examples=["it lasts 4.40 s instead of 5 s"])


class SceneVideo(BaseModel):
    """The current take of a part of an ad, as people and pages need it."""

    scenario: Part
    video_url: str | None = Field(None, description="URL of the clip, the sound or the image")
    duration: float | None = Field(None, description="Seconds, as measured in the stored file; 0 for a still")
    status: State
    created_at: datetime
    cost: float | None = Field(None, description="USD as reported by the provider; null is unknown")
    billed: float = Field(
        0, description="USD of the bills that are known so far; less than the cost while `cost` is null"
    )
    estimate: float | None = Field(None, description="USD as expected before it was bought; null is unknown")
    seed: int | None = None
    poster_url: str | None = None
    take: str = Field(description="Id of the job that bought it")
    warnings: list[ClipWarning] = Field(
        default_factory=list, description="How the request differs from the description, and the clip from the order"
    )


class RequestBody(BaseModel, extra="forbid", str_strip_whitespace=True):
    """Base of requests: refuses unknown fields, and control characters, which databases and terminals can't handle."""

    @field_validator("*", mode="after", check_fields=False)
    @classmethod
    def _without_control_characters(cls, value: object) -> object:
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if isinstance(text, str) and (character := control_character(text)):
                raise ValueError(f"the control character {character} is not allowed")
        return value

    @field_validator("settings", mode="after", check_fields=False)
    @classmethod
    def _as_json(cls, value: object) -> object:
        try:
            check_texts(value)
            json.dumps(value, allow_nan=False)
        except InputError as error:
            raise ValueError(str(error)) from None
        return value


class WebImages(ImageInputs):
    """The images of a request: https URLs, and inputs of the session."""

    first_frame: WebImage | None = Field(
        None, description="An image to start from: an https URL, or the `input` of an uploaded image of the session"
    )
    last_frame: WebImage | None = Field(None, description="An image to end with, as for first_frame")
    references: list[WebImage] | None = Field(
        None, max_length=30, description="Images of people, products or styles to keep, each as for first_frame"
    )


class VoiceBody(RequestBody, Voice, extra="forbid", json_schema_extra={"examples": [{"voice": "Ashley"}]}):
    """The narrator of an ad. What is missing has a default."""


class MusicBody(RequestBody, MusicBed, extra="forbid", json_schema_extra={"examples": [{"prompt": "calm piano"}]}):
    """The music of an ad, bought by a prompt. What is missing has a default."""

    file: None = Field(None, description="Always null: a file can be named only in a session file")


class SceneCreate(WebImages, RequestBody, SceneDescription, extra="forbid"):
    """One scene in words."""


class ScenePatch(
    WebImages,
    RequestBody,
    RenderOptions,
    WordChanges,
    extra="forbid",
    json_schema_extra={"examples": [{"visual_description": "A moth circles the lamp", "aspect": "9:16"}]},
):
    """Changes of a scene. Omitted fields keep their values."""


class FactsPatch(BaseModel):
    """Changes of the facts of a product; only clips that are bought later are made from them."""

    product_name: Annotated[str, Field(min_length=1, max_length=200)] = Field("", description="Name of the product")
    category: str | None = Field(None, max_length=200)
    target_audience: str | None = Field(None, max_length=500)
    main_benefit: str | None = Field(None, max_length=500)
    brand_colors: list[str] | None = Field(None, description="Names or #hex, the most important first")
    brand_tone: str | None = Field(None, max_length=200, description="Such as 'calm, witty'")
    target_platform: str | None = Field(None, max_length=100, description="Where the ad will run")
    website_url: str | None = Field(None, max_length=500)


# Pydantic takes the fields of the last base first: facts before options.
class SessionPatch(
    WebImages,
    RequestBody,
    RenderOptions,
    FactsPatch,
    extra="forbid",
    json_schema_extra={"examples": [{"model": "klingai:kling-video@3-standard", "aspect": "9:16", "sound": True}]},
):
    """Changes of the product's facts, and of what the scenes have in common. Omitted fields keep their values.

    `voice` and `music` are replaced as a whole.
    """

    voice: VoiceBody | None = Field(None, description="Buys a narration of each scene with words; null removes it")
    music: MusicBody | None = Field(None, description="Buys music for the whole ad; null removes it")


SESSION_EXAMPLE = {
    "session_id": "abc-123",
    "product_name": "GlowCap",
    "brand_tone": "calm, witty",
    "aspect": "9:16",
    "scene_descriptions": [
        {"scenario": "hook", "visual_description": "A lamp falls into a lake and keeps shining"},
        {"scenario": "problem", "visual_description": "A tent in the dark, somebody looks for a match"},
        {"scenario": "solution", "visual_description": "A cap on a bottle lights the whole tent"},
        {"scenario": "cta", "visual_description": "The lamp on white, the name appears beside it"},
    ],
}


class SessionCreate(WebImages, RequestBody, Session, extra="forbid", json_schema_extra={"examples": [SESSION_EXAMPLE]}):
    """A new session: product facts and one to four scenes in words."""

    product_photo: WebImage | None = Field(
        None, description="A photo of the product, for its scenes: an https URL, or the `input` of an uploaded image"
    )
    scene_descriptions: list[SceneCreate] = Field(min_length=1, max_length=4)  # type: ignore[assignment]
    voice: VoiceBody | None = Field(None, description="Buys a narration of each scene with words")
    music: MusicBody | None = Field(None, description="Buys music for the whole ad")


class StoredInput(BaseModel):
    """An image that was stored as an input of a session."""

    input: str = Field(
        description="Value for `first_frame`, `last_frame` and `references` of this session",
        examples=[f"inputs/{'0' * 64}.jpg#lamp.jpg"],
    )
    url: str = Field(description="URL of the image on this server")
    width: int
    height: int


MaxCost = Annotated[
    float | None,
    Field(gt=0, allow_inf_nan=False, description="Most USD that the job may spend, retries included; null is no limit"),
]

ClipPrice = Annotated[
    float | None,
    Field(
        ge=0,
        allow_inf_nan=False,
        description="USD of each clip whose price is unknown. Without it such a clip is refused under a limit",
    ),
]


class VideoGenerationRequest(RequestBody, json_schema_extra={"examples": [{"session_id": "abc-123", "max_cost": 2}]}):
    """Start a job for a stored session."""

    session_id: Identifier
    scenarios: list[NamedPart] | None = Field(
        None,
        min_length=1,
        description="The parts to buy; by default all four clips, and the narration and music of the session",
    )
    only_changed: bool = Field(False, description="Leave out what is bought already as it is described now")
    max_cost: MaxCost = None
    clip_price: ClipPrice = None


class VideoRegenerateRequest(
    ScenePatch,
    json_schema_extra={
        "examples": [{"session_id": "abc-123", "scenario": "hook", "visual_description": "A moth circles the lamp"}]
    },
):
    """Buy a new take of one part, perhaps with some fields of its description changed."""

    session_id: Identifier
    scenario: NamedPart
    voice: VoiceBody | None = Field(None, description="Overrides of the session's narrator, for a narration")
    max_cost: MaxCost = None
    clip_price: ClipPrice = None

    @property
    def changes(self) -> SceneChanges:
        """The changed fields alone."""
        others = {"session_id", "scenario", "max_cost", "clip_price"}
        return SceneChanges.model_validate(self.model_dump(exclude_none=True, exclude=others))


class VideoResumeRequest(RequestBody, json_schema_extra={"examples": [{"max_cost": 3}]}):
    """Resume a job, with other limits than its own. Without a body it keeps them."""

    max_cost: MaxCost = None
    clip_price: ClipPrice = None


class VideoCutRequest(
    RequestBody,
    CutOptions,
    extra="forbid",
    json_schema_extra={"examples": [{"session_id": "abc-123", "formats": ["16:9", "9:16"]}]},
):
    """Make the finished ad of a session's current clips."""

    session_id: Identifier

    @property
    def options(self) -> CutOptions:
        """The options alone."""
        return CutOptions.model_validate(self.model_dump(exclude={"session_id"}))


class TakeChoice(RequestBody, json_schema_extra={"examples": [{"take": "35f85e76"}]}):
    """Choose a take of a part."""

    take: str = Field(
        min_length=1,
        max_length=64,
        description="Id of its job, a prefix of it, or the eight characters in its clip's file name",
    )


class VideoGenerationResponse(BaseModel):
    """A job was started."""

    success: bool
    message: str = Field(examples=["Video generation started for 4 scenes"])
    job_id: str = Field(description="For status, events and cancel", examples=["3097ff71-41eb-4f32-87bb-83b77b4d2311"])


class VideoRegenerateResponse(VideoGenerationResponse):
    """A new take was started, or with `wait` has ended."""

    video_url: str | None = Field(None, description="URL of the clip once it is stored")


class VideoSceneStatus(BaseModel):
    """One part of a job."""

    scenario: Part
    status: State
    progress: int = Field(ge=0, le=100)
    video_url: str | None = Field(None, examples=["/outputs/abc-123_hook_35f85e76.mp4"])
    error: str | None = None
    warnings: list[ClipWarning] = Field(
        default_factory=list, description="How the request differs from the description, and the clip from the order"
    )


class CutStatus(BaseModel):
    """The progress of a finished ad that is being made."""

    status: State
    progress: int = Field(ge=0, le=100)
    step: str = Field("", description="What is being done", examples=["segment 2 of 4"])
    error: str | None = None


class VideoStatusResponse(BaseModel):
    """A job and its scenes, derived from the take records alone."""

    job_id: str
    overall_status: State
    scenes: list[VideoSceneStatus]
    cut: CutStatus | None = Field(None, description="Of a job that makes the finished ad; it has no scenes")


class SessionSummary(BaseModel):
    """A session as a list shows it; `state` is null before its first clip, voice or music is ordered."""

    session_id: str
    product_name: str
    campaign: str | None = Field(None, description="Name of the campaign that it belongs to")
    state: State | None
    cost: float | None = Field(description="USD over all takes; null is unknown")
    billed: float = Field(
        0, description="USD of the bills that are known so far; less than the cost while `cost` is null"
    )
    updated_at: datetime | None
    archived_at: datetime | None = Field(None, description="When it was archived; nothing is bought for it then")
    scene_videos: list[SceneVideo]
    additions: list[SceneVideo] = Field(default_factory=list, description="The narrations, music and stills")
    created_at: datetime | None = Field(None, description="Null for a session of an earlier version without takes")
    has_cut: bool = Field(False, description="Whether it has a finished ad")


class SessionPage(BaseModel):
    """Some of the sessions that were asked for."""

    sessions: list[SessionSummary]
    next: str | None = Field(description="Send it as `after`; null on the last page")
    previous: str | None = Field(None, description="Send it as `before`; null on the first page")
    total: int = Field(0, description="Number of sessions on all pages")
    states: dict[str, int] = Field(default_factory=dict, description="Number of sessions by state, of any state")
    unreadable: list[str] = Field(description="Reasons why sessions of this page are missing")
    notice: str | None = Field(None, description="Why sessions may be missing: the list is being built")


class SessionDetails(Session, extra="ignore"):
    """A session with the current clips of its scenes."""

    campaign: str | None = Field(None, description="Name of the campaign that it belongs to")
    state: State | None
    cost: float | None = Field(description="USD over all takes; null is unknown")
    billed: float = Field(
        0, description="USD of the bills that are known so far; less than the cost while `cost` is null"
    )
    updated_at: datetime | None
    archived_at: datetime | None = Field(None, description="When it was archived; nothing is bought for it then")
    scene_videos: list[SceneVideo]
    additions: list[SceneVideo] = Field(default_factory=list, description="The narrations, music and stills")


class TakeView(BaseModel):
    """A take of a part of an ad."""

    take: str = Field(description="The eight characters in its clip's file name")
    job_id: str
    scenario: Part
    status: State
    progress: int
    is_current: bool
    created_at: datetime
    updated_at: datetime
    video_url: str | None
    poster_url: str | None
    duration: float | None
    cost: float | None
    billed: float = Field(
        0, description="USD of the bills that are known so far; less than the cost while `cost` is null"
    )
    estimate: float | None = None
    seed: int | None
    error: str | None
    warnings: list[ClipWarning] = Field(
        default_factory=list, description="How the request differs from the description, and the clip from the order"
    )
    aside_url: str | None = Field(None, description="URL of a paid file that is not a playable MP4")
    scene: SceneDescription | None = Field(description="The description that it was bought with; null for music")
    text: str = Field("", description="The words of a narration, and the prompt of music")


class TakeList(BaseModel):
    """The takes of a part, the oldest first."""

    takes: list[TakeView]
