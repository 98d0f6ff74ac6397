"""Forms of the storyboard: their fields, the requests that they become, and the errors beside the fields."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from adreel.catalog.sizes import ASPECTS, DEFAULT_ASPECT, DEFAULT_RESOLUTION, RESOLUTIONS, aspect_of_platform, ratio
from adreel.errors import AdreelError, InputError, OverBudget, RequestInFlight
from adreel.models.api import SceneCreate, ScenePatch, SessionPatch
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ImageInputs, RenderOptions, SceneDescription, Session, replacing
from adreel.records.suggestions import without_commands
from adreel.web.bodies import read_form
from adreel.web.pages.images import KNOWN, UploadForm, get_upload_form, image_fields, image_values, previews
from adreel.web.pages.offers import refusal_words
from adreel.web.problems import HTTPProblem, problem_of

IN_FLIGHT_SECONDS = 5.0
"""Time that a second click waits for the answer to the first."""

ORIGINAL = "shown."
"""Prefix of the hidden fields with the values that a scene's form was rendered with."""

IMAGES = {*ImageInputs.model_fields, "product_photo"}
NULLABLE = set(RenderOptions.model_fields)
FORM_ERRORS = (ValidationError, HTTPProblem, AdreelError)
T = TypeVar("T")

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class FormField:
    """A field of a form; its hint is the description in the model unless it has a `note`.

    `choices` are values and their labels. Nothing chosen means the default.
    """

    name: str
    label: str
    model: type[BaseModel]
    kind: str = "text"
    is_wide: bool = False
    note: str | None = None
    choices: tuple[tuple[str, str], ...] = ()

    @property
    def hint(self) -> str:
        """Description of the field, empty if its label says enough."""
        if self.note is not None:
            return self.note
        return self.model.model_fields[self.name].description or ""

    @property
    def is_required(self) -> bool:
        """Whether the field must not be empty."""
        described = self.model.model_fields.get(self.name)
        return described is not None and described.is_required()


PRODUCT = (
    FormField("product_name", "Product", Session),
    FormField("category", "Category", Session),
    FormField("main_benefit", "Main benefit", Session, is_wide=True),
    FormField("target_audience", "Audience", Session, is_wide=True),
    FormField("brand_tone", "Tone", Session),
    FormField("brand_colors", "Colours, comma-separated", Session),
    FormField("target_platform", "Platform", Session),
    FormField("website_url", "Website", Session),
    FormField("session_id", "Id", Session, is_wide=True),
)
PHOTO = FormField("product_photo", "Product photo", Session, "image", is_wide=True, note="Any scene can use it.")
DESCRIPTION = FormField("visual_description", "What the viewer sees", SceneCreate, "area", is_wide=True, note="")
WORDS = (
    FormField("camera_work", "Camera", SceneCreate),
    FormField("lighting", "Lighting", SceneCreate),
    FormField("audio_design", "Sound design", SceneCreate),
    FormField("background_music", "Music", SceneCreate),
    FormField("sound_effects", "Sound effects", SceneCreate),
    FormField("dialog_narration", "Narration", SceneCreate),
    FormField("duration", "Seconds", SceneCreate, "number"),
)
NARRATION = FormField("dialog_narration", "Narration", SceneCreate, "area", is_wide=True)
SHAPES = tuple((each, f"{'▭' if ratio(each) > 1 else '□' if ratio(each) == 1 else '▯'} {each}") for each in ASPECTS)
LINES = tuple((each, each) for each in RESOLUTIONS)
SWITCH = (("true", "On"), ("false", "Off"))
OPTIONS = (
    FormField("model", "Model", SceneCreate, "model", is_wide=True, note=""),
    FormField("aspect", "Shape", SceneCreate, "choice", note="", choices=SHAPES),
    FormField("resolution", "Resolution", SceneCreate, "choice", note="", choices=LINES),
    FormField(
        "sound", "Sound", SceneCreate, "switch", is_wide=True, note="", choices=(("true", "On"), ("false", "Off"))
    ),
    FormField("first_frame", "First frame", SceneCreate, "image", is_wide=True, note="An image to start from."),
    FormField("last_frame", "Last frame", SceneCreate, "image", is_wide=True, note="An image to end with."),
    FormField(
        "references",
        "References",
        SceneCreate,
        "images",
        is_wide=True,
        note="People, products or styles to keep, one image in each line.",
    ),
    FormField("negative_prompt", "Not to be seen", SceneCreate, is_wide=True, note=""),
    FormField("size", "Exact size", SceneCreate, note="WIDTHxHEIGHT, in place of shape and resolution."),
    FormField("seed", "Seed", SceneCreate, "number"),
)
SCENE = (DESCRIPTION, *WORDS, *OPTIONS)


@dataclass(frozen=True)
class FormState:
    """The values of a form and its errors, by field name; the error of "" is about the whole form.

    `defaults` say what holds where a field is empty, `notes` what is known of a value.
    """

    fields: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    session_id: str = ""

    def previews(self, name: str) -> list[tuple[str, str]]:
        """Return the URLs and names of the stored images in a field."""
        return previews(self.fields, name, self.session_id) if self.session_id else []


async def get_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form. Browsers submit line ends as CRLF."""
    return {name: value.replace("\r\n", "\n") for name, value in (await read_form(request)).items()}


Fields = Annotated[dict[str, str], Depends(get_fields)]
Upload = Annotated[UploadForm, Depends(get_upload_form)]


def new_token() -> str:
    """Return an idempotency key for one rendering of a form."""
    return uuid4().hex


def patch_of(fields: dict[str, str]) -> ScenePatch:
    """Read the form of a scene, without images that nobody has edited, or raise ValidationError.

    Such an image may be a file that only the machine of the worker can read, which no request may name.
    """
    values = form_values(fields, SCENE)
    kept = {name: value for name, value in values.items() if name not in IMAGES or is_edited(name, fields)}
    return ScenePatch.model_validate(kept)


def only_edited(patch: ScenePatch, fields: dict[str, str]) -> ScenePatch:
    """Return the fields that a person has edited. The others may be newer in the records."""
    edited = {name for name in patch.model_fields_set if is_edited(name, fields)}
    return ScenePatch.model_validate(patch.model_dump(include=edited))


def order_of(patch: ScenePatch, edited: ScenePatch) -> dict[str, Any]:
    """Return the changes for a take that is bought as its form shows it.

    An edited shape takes the place of the size that the form still shows, and the other way round.
    """
    order = {**patch.model_dump(exclude_unset=True), **replacing(edited.model_dump(exclude_unset=True))}
    return {name: value for name, value in order.items() if value is not None}


def options_of(fields: dict[str, str]) -> SessionPatch:
    """Read the edited fields of the form for all scenes, or raise ValidationError."""
    values = form_values(fields, OPTIONS)
    return SessionPatch.model_validate({name: value for name, value in values.items() if is_edited(name, fields)})


def is_edited(name: str, fields: dict[str, str]) -> bool:
    """Whether a field of a form differs from what it was rendered with."""
    return ORIGINAL + name not in fields or fields[ORIGINAL + name].strip() != fields[name].strip()


def form_values(fields: dict[str, str], inputs: tuple[FormField, ...], prefix: str = "") -> dict[str, Any]:
    """Return the values of a form's fields, for a request."""
    values = {each.name: fields[prefix + each.name].strip() for each in inputs if prefix + each.name in fields}
    if not values.get("duration"):
        values.pop("duration", None)
    texts = {name: None if name in NULLABLE and not value else value for name, value in values.items()}
    return texts | image_values(fields, prefix)


def initial_fields(described: SceneDescription | Session, inputs: tuple[FormField, ...] = SCENE) -> dict[str, str]:
    """Return the fields of a form as it is rendered first."""
    fields = {each.name: field_text(getattr(described, each.name)) for each in inputs} | image_fields(described)
    return fields | {ORIGINAL + name: text for name, text in fields.items() if name != KNOWN}


def field_text(value: object) -> str:
    """Return a value as its field shows it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value)


def max_cost_of(fields: dict[str, str]) -> float | None:
    """Return the limit of an order in USD, None for an empty one; raises InputError."""
    text = fields.get("max_cost", "").strip().removeprefix("$").replace(",", ".")
    try:
        limit = float(text) if text else None
    except ValueError:
        limit = 0
    if limit is not None and not (0 < limit < float("inf")):
        raise InputError("Spend at most: enter an amount in dollars, such as 2.50, or nothing for no limit.")
    return limit


def defaults_of(session: Session | None, model: str) -> dict[str, str]:
    """Return what holds where the form for all scenes is empty; `model` is the model of the settings."""
    platform = session.target_platform if session else ""
    aspect = aspect_of_platform(platform)
    return {
        "model": model,
        "aspect": f"{aspect}, for {platform}" if aspect else DEFAULT_ASPECT,
        "resolution": f"near {DEFAULT_RESOLUTION}",
        "sound": "Model's default",
    }


def scene_defaults(session: Session, model: str) -> dict[str, str]:
    """Return what holds where the form of a scene is empty: the values for all scenes, else their defaults."""
    common = initial_fields(session, OPTIONS)
    given = {each.name: common[each.name].replace("\n", ", ") for each in OPTIONS if common[each.name]}
    if session.sound is not None:
        given["sound"] = f"As for all scenes: {'on' if session.sound else 'off'}"
    return defaults_of(session, model) | given


def with_errors(fields: dict[str, str], error: Exception, scenarios: Sequence[Scenario] = tuple(Scenario)) -> FormState:
    """Return a submitted form with its errors; `scenarios` are those of a new session's scenes, in their order."""
    if isinstance(error, ValidationError):
        return FormState(fields, {_field_name(item["loc"], scenarios): _advice(item) for item in error.errors()}, 422)
    if isinstance(error, OverBudget):
        return FormState(fields, {"": refusal_words(error)}, HTTPStatus.PAYMENT_REQUIRED)
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # The page only says that the log has the reason.
        log.error("%s", error)
    named = {_field_name(tuple(each.field.split(".")), scenarios): each.detail for each in problem.errors}
    errors = {name if name in fields else "": without_commands(detail) for name, detail in named.items()}
    return FormState(fields, errors or {"": without_commands(problem.detail)}, problem.status, problem.headers)


def _field_name(location: tuple[int | str, ...], scenarios: Sequence[Scenario]) -> str:
    """Return the name of the form's field for the location of an error in the request."""
    steps = [str(step) for step in location]
    if steps[0] == "scene_descriptions" and len(steps) > 1:
        steps = [scenarios[int(steps[1])] if steps[1].isdecimal() else steps[1], *steps[2:]]
    if steps[0] in set(Scenario):
        # An error of a whole scene is shown at its first field.
        return f"{steps[0]}.{steps[1] if len(steps) > 1 else DESCRIPTION.name}"
    return ".".join(steps[:2]) if steps[0] in {"voice", "music"} else steps[0]


ADVICE = {
    "string_too_short": "Please fill this in.",
    "missing": "Please fill this in.",
    "float_parsing": "Please enter a number.",
    "int_parsing": "Please enter a whole number.",
    "int_from_float": "Please enter a whole number.",
}
PATTERN_ADVICE = {
    "session_id": "Letters, digits, - and _ only, at most 64.",
    "name": "Letters, digits, - and _ only, at most 64.",
    "size": "Use WIDTHxHEIGHT, such as 1280x720.",
}


def _advice(item: ErrorDetails) -> str:
    place = {str(step) for step in item["loc"]}
    if item["type"] == "string_too_long":
        return f"At most {item['ctx']['max_length']} characters, please."
    if item["type"] in {"less_than_equal", "greater_than_equal"}:
        (limit,) = item["ctx"].values()
        return f"{'At most' if item['type'].startswith('less') else 'At least'} {limit:g}, please."
    if item["type"] == "string_pattern_mismatch":
        return PATTERN_ADVICE.get(str(item["loc"][-1]), "Please check this value.")
    if item["type"] == "value_error" and place & IMAGES:
        return "Use an address that begins with https://, or upload a file."
    return ADVICE.get(item["type"]) or without_commands(item["msg"].removeprefix("Value error, "))


async def wait_if_in_flight(call: Callable[[], Awaitable[T]]) -> T:
    """Call a use case. A second click waits for the first one's answer."""
    deadline = asyncio.get_running_loop().time() + IN_FLIGHT_SECONDS
    while True:
        try:
            return await call()
        except RequestInFlight:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
