"""Sessions: the product facts of one ad, and the descriptions of its four scenes.

People write them as YAML or JSON; `adreel schema` prints the schema of the model.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from adreel.errors import InputError
from adreel.models.cut_settings import CutSettings, MediaFile
from adreel.models.cut_settings import Music as CutMusic
from adreel.models.documents import check_texts, find_line, read_document, read_file
from adreel.models.field_errors import describe, field_errors, shortened
from adreel.models.open_model import OpenModel
from adreel.models.parts import PARTS, VOICES, Addition, Part, scenario_of
from adreel.models.scenarios import Scenario

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
SIZE_PATTERN = r"^[1-9]\d{1,4}x[1-9]\d{1,4}$"
INPUT_PATTERN = re.compile(
    r"inputs/[0-9a-f]{64}\.(?:(?P<image>png|jpg|webp)|(?P<audio>mp3|wav|m4a|flac|ogg)|(?P<captions>srt))(#[^\0]*)?",
    re.DOTALL,
)
"""A reference to a file that was copied into the session's folder (adreel/records/inputs.py)."""

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
LastFrame = Annotated[str, Field(description="An image to end with, as for first_frame")]
ProductPhoto = Annotated[
    str, Field(description="A photo of the product, kept for scenes to start from or to refer to: as for first_frame")
]
References = Annotated[
    list[str], Field(max_length=30, description="Images of people, products or styles to keep, each as for first_frame")
]
Model = Annotated[
    str, Field(max_length=200, description="The video model, as creator:family@version; `adreel models` lists them")
]
Aspect = Annotated[
    Literal["16:9", "9:16", "1:1", "4:5", "5:4", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21"],
    Field(description="The shape of the clip; by default that of target_platform, else 16:9"),
]
Resolution = Annotated[
    Literal["360p", "480p", "540p", "720p", "768p", "1080p", "1440p", "2k", "4k"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    Field(description="How fine the picture is; by default the one nearest to 720p that the model offers"),
]
Size = Annotated[
    str, Field(pattern=SIZE_PATTERN, description="Exact pixels as WIDTHxHEIGHT, instead of aspect and resolution")
]
Sound = Annotated[bool, Field(description="Whether the clip has sound; by default what the model does by itself")]
NegativePrompt = Annotated[Words, Field(description="What must not be seen")]
Seed = Annotated[int, Field(ge=1, le=2**31 - 1, description="The same seed gives a similar clip")]
ModelSettings = Annotated[
    dict[str, Any],
    Field(
        description="Further settings, passed on unchanged: parameters of Runware's request, such as fps, and the"
        " model's own settings"
    ),
]


class ImageInputs(BaseModel):
    """The images that a clip is made from: its description and its request name them alike."""

    first_frame: FirstFrame | None = None
    last_frame: LastFrame | None = None
    references: References | None = None

    def named_images(self) -> list[tuple[str, str]]:
        """Return the fields that name images, such as `references.0`, and the images."""
        frames = [("first_frame", self.first_frame), ("last_frame", self.last_frame)]
        found = [(name, image) for name, image in frames if image]
        return found + [(f"references.{number}", image) for number, image in enumerate(self.references or ())]

    def with_images(self, renamed: Mapping[str, str]) -> Self:
        """Return a copy that names some images differently."""
        update: dict[str, Any] = {
            name: renamed[image]
            for name, image in (("first_frame", self.first_frame), ("last_frame", self.last_frame))
            if image and image in renamed
        }
        if self.references:
            update["references"] = [renamed.get(image, image) for image in self.references]
        return self.model_copy(update=update)


class RenderOptions(ImageInputs, OpenModel):
    """How clips are rendered: for all scenes of a session, or for one scene. What is missing has a default."""

    model: Model | None = None
    aspect: Aspect | None = None
    resolution: Resolution | None = None
    size: Size | None = None
    sound: Sound | None = None
    negative_prompt: NegativePrompt | None = None
    seed: Seed | None = None
    settings: ModelSettings | None = None


class Voice(OpenModel):
    """The narrator of an ad. What is missing has a default."""

    model: str | None = Field(None, max_length=200, description="The speech model; `adreel voices` lists them")
    voice: str | None = Field(None, max_length=100, description="One of the model's voices")
    language: str | None = Field(
        None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Such as en or de-AT"
    )
    speed: float | None = Field(None, ge=0.5, le=2, description="1 is the voice's own speed")


class MusicBed(OpenModel):
    """The music of an ad: bought by a prompt, or a file. What is missing has a default."""

    prompt: str | None = Field(
        None, min_length=1, max_length=3000, description="Style, tempo and instruments; by default from the scenes"
    )
    file: MediaFile | None = None
    model: str | None = Field(None, max_length=200, description="The music model; `adreel voices --music` lists them")
    below_voice: float = Field(12, ge=0, le=40, description="Decibels below the voice while it speaks")


class SceneWords(OpenModel):
    """Description of a scene in words."""

    scenario: Scenario = Field(description="Part of the ad")
    duration: Seconds = 5
    visual_description: VisualDescription
    camera_work: CameraWork = ""
    lighting: Lighting = ""
    audio_design: AudioDesign = ""
    background_music: Music = ""
    sound_effects: SoundEffects = ""
    dialog_narration: Narration = ""


# Pydantic takes the fields of the last base first: words before options.
class SceneDescription(RenderOptions, SceneWords):
    """One scene in words, with what the video model has to know."""


class WordChanges(OpenModel):
    """Overrides of a scene's description."""

    duration: Seconds | None = None
    visual_description: VisualDescription | None = None
    camera_work: CameraWork | None = None
    lighting: Lighting | None = None
    audio_design: AudioDesign | None = None
    background_music: Music | None = None
    sound_effects: SoundEffects | None = None
    dialog_narration: Narration | None = None


class SceneChanges(RenderOptions, WordChanges):
    """Overrides for a new take of a scene or another part. Omitted fields keep the session's values.

    For a voice and for music, `model` is the model of the part. `background_music` is the prompt of music.
    """

    voice: Voice | None = Field(None, description="Overrides of the session's narrator, for a new take of a narration")

    def applied_to(self, scene: SceneDescription) -> SceneDescription:
        """Return a scene's description with these changes."""
        return scene.model_copy(update=replacing(self.model_dump(exclude_none=True, exclude={"voice"})))


def replacing(changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes that also remove what they replace: a size says the same as an aspect and a resolution."""
    given = {name for name, value in changes.items() if value is not None}
    if "size" in given:
        return {"aspect": None, "resolution": None, **changes}
    if given & {"aspect", "resolution"}:
        return {"size": None, **changes}
    return changes


class ProductFacts(OpenModel):
    """Facts about the product of an ad."""

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


class Session(RenderOptions, ProductFacts):
    """One ad in the making: product facts and up to four scene descriptions.

    Its render options are the defaults of its scenes. A scene uses the product's photo if it names the same image.
    """

    product_photo: ProductPhoto | None = None
    variant: str = Field(
        "", max_length=64, description="Variant of the product, set by a campaign of products and variants"
    )
    scene_descriptions: list[SceneDescription] = Field(min_length=1, max_length=4)
    voice: Voice | None = Field(None, description="Buys a narration of each scene with words")
    music: MusicBed | None = Field(None, description="Buys music for the whole ad, or takes it from a file")
    cut: CutSettings | None = Field(None, description="How the finished ad is made of the clips")

    @model_validator(mode="after")
    def _each_scenario_once(self) -> Self:
        given = [scene.scenario for scene in self.scene_descriptions]
        doubled = sorted({str(scenario) for scenario in given if given.count(scenario) > 1})
        if doubled:
            raise ValueError(f"scene given more than once: {', '.join(doubled)}")
        return self

    @model_validator(mode="after")
    def _music_once(self) -> Self:
        if self.music and self.music.file:
            if self.music.prompt or self.music.model:
                raise ValueError("music is given twice: give a file, or a prompt and a model")
            if self.cut and self.cut.music:
                raise ValueError("music is given twice: give music.file or cut.music, not both")
            # The cut reads files from its own block alone.
            bed = CutMusic(file=self.music.file, below_voice=self.music.below_voice)
            self.cut = (self.cut or CutSettings()).model_copy(update={"music": bed})
            self.music = None
        return self

    def named_images(self) -> list[tuple[str, str]]:
        """Return the fields that name images, and the images."""
        return super().named_images() + ([("product_photo", self.product_photo)] if self.product_photo else [])

    def with_images(self, renamed: Mapping[str, str]) -> Self:
        """Return a copy that names some images differently."""
        photo = renamed.get(self.product_photo, self.product_photo) if self.product_photo else None
        return super().with_images(renamed).model_copy(update={"product_photo": photo})

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

    def render_options(self, scene: SceneDescription) -> RenderOptions:
        """Return the render options of a scene: its own, else those of the session."""
        own = {name: value for name in RenderOptions.model_fields if (value := getattr(scene, name)) is not None}
        common = {name: value for name in RenderOptions.model_fields if (value := getattr(self, name)) is not None}
        if "size" in own:
            common = {name: value for name, value in common.items() if name not in {"aspect", "resolution"}}
        elif own.keys() & {"aspect", "resolution"}:
            common.pop("size", None)
        return RenderOptions.model_construct(**{**common, **own})

    @property
    def parts(self) -> list[Part]:
        """The parts of the whole ad: its clips, and the narrations and the music if it asks for them."""
        voices = self.narrations if self.voice else []
        return [*self.scenarios, *voices, *([Addition.MUSIC] if self.music else [])]

    @property
    def narrations(self) -> list[Part]:
        """The narrations of the scenes that have words for one."""
        return [VOICES[each] for each in self.scenarios if self.scene(each).dialog_narration.strip()]

    def choose(self, wanted: Sequence[Part] | None) -> list[Part]:
        """Return the wanted parts in the order of an ad, those of the whole ad for None.

        Raises InputError if the scene of one is not described, or if there are fewer than four for None.
        """
        if wanted == []:
            raise InputError("no scenes were chosen: name at least one, or omit the choice for all four")
        asked = [scenario for part in wanted or Scenario if (scenario := scenario_of(part))]
        if missing := [str(scenario) for scenario in asked if scenario not in self.scenarios]:
            raise InputError(
                f"session {self.session_id!r} describes no scene {', '.join(missing)}: add it to scene_descriptions"
                f", or ask for a subset of {', '.join(self.scenarios)}"
            )
        return [part for part in PARTS if part in (wanted or self.parts)]


def parse_session(
    data: Any, source: str = "session", *, folder: Path | None = None, document: bytes | str = ""
) -> Session:
    """Validate plain data as a Session; InputError lists every wrong field with its place.

    With `document`, the text of the data, the message has a line for each wrong field, with its line in the file.
    `folder` is the folder of a local session file, which may name local images relative to it. Data from elsewhere has
    no folder, and its first frames must be https URLs: otherwise a remote caller could have local files sent.
    """
    try:
        session = Session.model_validate(data, extra="forbid")
    except ValidationError as error:
        if not document:
            raise InputError(f"{source}: {describe(error, data, Session)}") from None
        found = [
            (find_line(document, steps), ": ".join(filter(None, (place, reason))))
            for steps, place, reason in field_errors(error, data, Session)
        ]
        found.sort(key=lambda each: each[0] or 0)
        lines = [f"{source}, line {line}: {text}" if line else f"{source}: {text}" for line, text in found]
        raise InputError("\n".join(lines)) from None
    refuse_control_characters(session, source)
    if folder is None:
        refuse_local_files(session, source)
        if session.cut:
            refuse_files_of_cut(session.cut, source)
        for scene in session.scene_descriptions:
            refuse_local_files(scene, f"{source}: scene {scene.scenario}")
        return session
    scenes = [absolute_images(scene, folder) for scene in session.scene_descriptions]
    cut = absolute_files(session.cut, folder) if session.cut else None
    return absolute_images(session, folder).model_copy(update={"scene_descriptions": scenes, "cut": cut})


Options = TypeVar("Options", bound=RenderOptions)


def absolute_images(options: Options, folder: Path) -> Options:
    """Return options whose local images have absolute paths, from a folder, else from the current folder."""
    local = [image for _, image in options.named_images() if is_local_file(image)]
    return options.with_images(_absolute_paths(local, folder))


def absolute_files(cut: CutSettings, folder: Path) -> CutSettings:
    """Return settings of a cut whose local files have absolute paths, from a folder, else from the current folder."""
    local = [file for _, file in cut.named_files() if not INPUT_PATTERN.fullmatch(file)]
    return cut.with_files(_absolute_paths(local, folder))


def _absolute_paths(files: list[str], folder: Path) -> dict[str, str]:
    found = {}
    for file in files:
        # Unlike Path.exists, this is false for names that no file can have.
        candidates = [folder / os.path.expanduser(file), Path.cwd() / file]  # noqa: PTH111
        if path := next((path for path in candidates if os.path.exists(path)), None):  # noqa: PTH110
            found[file] = str(path.absolute())
    return found


def parse_changes(data: Any) -> SceneChanges:
    """Validate plain data as changes of a scene; InputError lists every wrong field."""
    try:
        changes = SceneChanges.model_validate(data, extra="forbid")
    except ValidationError as error:
        raise InputError(describe(error, data, SceneChanges)) from None
    refuse_control_characters(changes)
    return changes


def is_local_file(image: str) -> bool:
    """Whether an image is a local path, not a URL or a reference to a copied image."""
    copied = INPUT_PATTERN.fullmatch(image)
    return not image.startswith("https://") and not (copied and copied["image"])


def refuse_local_files(options: RenderOptions, place: str) -> None:
    """Raise InputError if the options of a remote caller name a local file."""
    for name, image in options.named_images():
        if is_local_file(image):
            raise InputError(
                f"{place}: {name} {shortened(image)!r} is not an https URL: an image file can be named only in a"
                " session file or a campaign on this machine, for `adreel generate` or `adreel campaign`"
            )


def refuse_files_of_cut(cut: CutSettings, place: str) -> None:
    """Raise InputError if the settings of a remote caller's cut name a file that is not copied yet."""
    for name, file in cut.named_files():
        if not INPUT_PATTERN.fullmatch(file):
            raise InputError(
                f"{place}: {name} {file!r} is a file: it can be named only in a session file or a campaign on this"
                " machine",
                {name: "a file can be named only in a session file"},
            )


def refuse_control_characters(words: BaseModel, source: str = "") -> None:
    """Raise InputError for a control character in new text; stored sessions are read without this check."""
    check_texts(words.model_dump(), source)


def read_session(path: Path) -> Session:
    """Read a session from a YAML or JSON file. Raises InputError if the file is unreadable or invalid."""
    document = read_file(path, "session file")
    data = read_document(document, str(path))
    if not isinstance(data, dict):
        raise InputError(f"{path} is not a session file: expected a mapping with product_name and scene_descriptions")
    return parse_session(data, str(path), folder=path.parent, document=document)
