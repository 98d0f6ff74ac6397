"""Sessions: the product facts of one ad, and the descriptions of its four scenes.

People write them as YAML or JSON; `adreel schema` prints the schema of the model.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Self
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError, model_validator

from adreel.errors import InputError
from adreel.models.documents import SIZE_ADVICE, check_texts, read_document, read_file
from adreel.models.scenarios import Scenario

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
SIZE_PATTERN = r"^[1-9]\d{1,4}x[1-9]\d{1,4}$"
INPUT_PATTERN = re.compile(r"inputs/[0-9a-f]{64}\.(png|jpg|webp)(#[^\0]*)?", re.DOTALL)
"""A reference to an image that was copied into the session's folder (adreel/records/inputs.py)."""

Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Words = Annotated[str, Field(max_length=4000)]


def check_id(value: str, kind: str = "id") -> str:
    """Return an id that is safe as a part of a path; InputError for another value."""
    if not re.fullmatch(ID_PATTERN, value):
        raise InputError(f"{kind} {value!r} is not usable: 1 to 64 letters, digits, '-' and '_' are allowed")
    return value


Seconds = Annotated[float, Field(gt=0, le=60, description="Seconds; each model offers its own lengths")]
VisualDescription = Annotated[Words, Field(min_length=1, description="What the viewer sees: the core of the prompt")]
CameraWork = Annotated[Words, Field(description="Framing and movement, such as 'slow push in'")]
Lighting = Annotated[Words, Field(description="Such as 'warm evening light'")]
AudioDesign = Annotated[Words, Field(description="The overall sound of the scene")]
Music = Annotated[Words, Field(description="Style and tempo of the music")]
SoundEffects = Annotated[Words, Field(description="Single sounds, such as 'a cork pops'")]
Narration = Annotated[Words, Field(description="The spoken words")]
FirstFrame = Annotated[
    str,
    Field(
        description="An image to start from: an https URL, or in a file on your machine the path of a PNG, JPEG or WebP"
        " file, relative to that file"
    ),
]
Model = Annotated[str, Field(description="A model for this scene, as creator:family@version")]
Size = Annotated[str, Field(pattern=SIZE_PATTERN, description="WIDTHxHEIGHT for this scene")]
Seed = Annotated[int, Field(ge=1, le=2**31 - 1, description="The same seed gives a similar clip")]


class OpenModel(BaseModel, extra="allow", str_strip_whitespace=True, json_schema_extra={"additionalProperties": False}):
    """Base of models that people write. New data refuses unknown fields (parse_session).

    Stored data keeps them: a newer adreel may have written them.
    """


class SceneDescription(OpenModel):
    """One scene in words, with what the video model has to know."""

    scenario: Scenario = Field(description="Part of the ad")
    duration: Seconds = 5
    visual_description: VisualDescription
    camera_work: CameraWork = ""
    lighting: Lighting = ""
    audio_design: AudioDesign = ""
    background_music: Music = ""
    sound_effects: SoundEffects = ""
    dialog_narration: Narration = ""
    first_frame: FirstFrame | None = None
    model: Model | None = None
    size: Size | None = None
    seed: Seed | None = None


class SceneChanges(OpenModel):
    """Overrides for a new take of a scene. Omitted fields keep the session's values."""

    duration: Seconds | None = None
    visual_description: VisualDescription | None = None
    camera_work: CameraWork | None = None
    lighting: Lighting | None = None
    audio_design: AudioDesign | None = None
    background_music: Music | None = None
    sound_effects: SoundEffects | None = None
    dialog_narration: Narration | None = None
    first_frame: FirstFrame | None = None
    model: Model | None = None
    size: Size | None = None
    seed: Seed | None = None

    def applied_to(self, scene: SceneDescription) -> SceneDescription:
        """Return a scene's description with these changes."""
        return scene.model_copy(update=self.model_dump(exclude_none=True))


class Session(OpenModel):
    """One ad in the making: product facts and up to four scene descriptions."""

    session_id: Identifier = Field(
        default_factory=lambda: f"ad-{uuid4().hex[:8]}",
        description="Identifies the ad: letters, digits, '-' and '_', at most 64; generated if missing",
    )
    product_name: str = Field(min_length=1, max_length=200, description="Name of the product")
    category: str = Field("", max_length=200)
    target_audience: str = Field("", max_length=500)
    main_benefit: str = Field("", max_length=500)
    brand_colors: list[str] = Field(default_factory=list, description="Names or #hex, the most important first")
    brand_tone: str = Field("", max_length=200, description="Such as 'calm, witty'")
    target_platform: str = Field("", max_length=100, description="Where the ad will run")
    website_url: str = Field("", max_length=500)
    scene_descriptions: list[SceneDescription] = Field(min_length=1, max_length=4)

    @model_validator(mode="after")
    def _each_scenario_once(self) -> Self:
        given = [scene.scenario for scene in self.scene_descriptions]
        doubled = sorted({str(scenario) for scenario in given if given.count(scenario) > 1})
        if doubled:
            raise ValueError(f"scene given more than once: {', '.join(doubled)}")
        return self

    @property
    def scenarios(self) -> list[Scenario]:
        """The described scenarios, in the order of an ad."""
        given = {scene.scenario for scene in self.scene_descriptions}
        return [scenario for scenario in Scenario if scenario in given]

    def scene(self, scenario: Scenario) -> SceneDescription:
        """Return the description of one scene, or raise InputError."""
        for scene in self.scene_descriptions:
            if scene.scenario == scenario:
                return scene
        raise InputError(f"session {self.session_id!r} describes no scene {scenario!s}: add it to scene_descriptions")

    def choose(self, wanted: list[Scenario] | None) -> list[Scenario]:
        """Return the wanted scenarios in the order of an ad, all four for None; InputError if one is not described."""
        if wanted == []:
            raise InputError("no scenes were chosen: name at least one, or omit the choice for all four")
        missing = [str(scenario) for scenario in wanted or Scenario if scenario not in self.scenarios]
        if missing:
            raise InputError(
                f"session {self.session_id!r} describes no scene {', '.join(missing)}: add it to scene_descriptions"
                f", or ask for a subset of {', '.join(self.scenarios)}"
            )
        return [scenario for scenario in Scenario if scenario in (wanted or self.scenarios)]


def parse_session(data: Any, source: str = "session", *, folder: Path | None = None) -> Session:
    """Validate plain data as a Session; InputError lists every wrong field with its place.

    `folder` is the folder of a local session file, which may name local images relative to it. Data from elsewhere has
    no folder, and its first frames must be https URLs: otherwise a remote caller could have local files sent.
    """
    try:
        session = Session.model_validate(data, extra="forbid")
    except ValidationError as error:
        raise InputError(f"{source}: {describe(error)}") from None
    refuse_control_characters(session, source)
    for scene in session.scene_descriptions:
        if scene.first_frame is None:
            continue
        if folder is None:
            refuse_local_file(scene.first_frame, f"{source}: scene {scene.scenario}")
        elif is_local_file(scene.first_frame):
            candidates = [folder / Path(scene.first_frame).expanduser(), Path.cwd() / scene.first_frame]
            found = next((path for path in candidates if path.exists()), None)
            scene.first_frame = str(found.absolute()) if found else scene.first_frame
    return session


def parse_changes(data: Any) -> SceneChanges:
    """Validate plain data as changes of a scene; InputError lists every wrong field."""
    try:
        changes = SceneChanges.model_validate(data, extra="forbid")
    except ValidationError as error:
        raise InputError(describe(error)) from None
    refuse_control_characters(changes)
    return changes


def is_local_file(first_frame: str) -> bool:
    """Whether a first frame is a local path, not a URL or a reference to a copied image."""
    return not first_frame.startswith("https://") and not INPUT_PATTERN.fullmatch(first_frame)


def refuse_local_file(first_frame: str | None, place: str) -> None:
    """Raise InputError if the first frame of a remote caller names a local file."""
    if first_frame and is_local_file(first_frame):
        raise InputError(
            f"{place}: first_frame {first_frame!r} is not an https URL: an image file can be named only in a session"
            " file or a campaign on this machine, for `adreel generate` or `adreel campaign`"
        )


def refuse_control_characters(words: BaseModel, source: str = "") -> None:
    """Raise InputError for a control character in new text; stored sessions are read without this check."""
    check_texts(words.model_dump(), source)


def read_session(path: Path) -> Session:
    """Read a session from a YAML or JSON file. Raises InputError if the file is unreadable or invalid."""
    data = read_document(read_file(path, "session file"), str(path))
    if not isinstance(data, dict):
        raise InputError(f"{path} is not a session file: expected a mapping with product_name and scene_descriptions")
    return parse_session(data, str(path), folder=path.parent)


def describe(error: ValidationError) -> str:
    """Return a validation error as one sentence that names each field."""
    parts = []
    for item in error.errors():
        place, given = ".".join(str(step) for step in item["loc"]), item["input"]
        advice = ""
        if item["type"] == "string_type" and given is None:
            advice = ", and this is empty: leave the field out, or put text in quotes"
        elif item["type"] == "string_type" and isinstance(given, bool | int | float):
            advice = f", and this is read as {json.dumps(given)}: put it in quotes"
        elif item["loc"][-1:] == ("size",) and isinstance(given, str):
            advice = f"; {given!r} is {'an aspect ratio' if ':' in given else 'not a size'}: {SIZE_ADVICE}"
        reason = item["msg"].removeprefix("Value error, ") + advice
        parts.append(f"{place}: {reason}" if place else reason)
    return "; ".join(parts)
