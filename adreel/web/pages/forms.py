"""Forms of the storyboard: their fields, the requests that they become, and the errors beside the fields."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from fastapi import Depends, Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from adreel.errors import AdreelError, RequestInFlight
from adreel.models.api import SceneCreate, ScenePatch, SessionCreate
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session
from adreel.records.inputs import display_name
from adreel.web.bodies import read_form
from adreel.web.pages.rendering import NAMES
from adreel.web.problems import HTTPProblem, problem_of

IN_FLIGHT_SECONDS = 5.0
"""Time that a second click waits for the answer to the first."""

ORIGINAL = "shown."
"""Prefix of the hidden fields with the values that a scene's form was rendered with."""

NULLABLE = {"first_frame", "model", "size", "seed"}
FORM_ERRORS = (ValidationError, HTTPProblem, AdreelError)
T = TypeVar("T")

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class FormField:
    """A field of a form; its hint is the description in the model."""

    name: str
    label: str
    model: type[SceneDescription] | type[Session]
    kind: str = "text"
    is_wide: bool = False

    @property
    def hint(self) -> str:
        """Description of the field, empty if its label says enough."""
        return "" if self.kind == "area" else self.model.model_fields[self.name].description or ""

    @property
    def is_required(self) -> bool:
        """Whether the field must not be empty."""
        return self.model.model_fields[self.name].is_required()

    def is_read_only(self, value: str) -> bool:
        """Whether a value can't be submitted: a first frame that is a file on the generating machine."""
        return self.name == "first_frame" and bool(value) and not value.startswith("https://")


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
DESCRIPTION = FormField("visual_description", "What the viewer sees", SceneCreate, "area", is_wide=True)
DETAILS = (
    FormField("camera_work", "Camera", SceneCreate),
    FormField("lighting", "Lighting", SceneCreate),
    FormField("audio_design", "Sound", SceneCreate),
    FormField("background_music", "Music", SceneCreate),
    FormField("sound_effects", "Sound effects", SceneCreate),
    FormField("dialog_narration", "Narration", SceneCreate),
    FormField("duration", "Seconds", SceneCreate, "number"),
    FormField("size", "Size", SceneCreate),
    FormField("model", "Model", SceneCreate),
    FormField("seed", "Seed", SceneCreate, "number"),
    FormField("first_frame", "First frame", SceneCreate, is_wide=True),
)
SCENE = (DESCRIPTION, *DETAILS)


@dataclass(frozen=True)
class FormState:
    """The values of a form and its errors, by field name; the error of "" is about the whole form."""

    fields: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


async def get_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form. Browsers submit line ends as CRLF."""
    return {name: value.replace("\r\n", "\n") for name, value in (await read_form(request)).items()}


Fields = Annotated[dict[str, str], Depends(get_fields)]


def label_of(name: str) -> str:
    """Return the label of a field of the new-session form."""
    group, _, last = name.rpartition(".")
    label = next((each.label for each in (*PRODUCT, *SCENE) if each.name == last), last)
    return f"{NAMES[Scenario(group)]}: {label}" if group else label


def new_token() -> str:
    """Return an idempotency key for one rendering of a form."""
    return uuid4().hex


def session_of(fields: dict[str, str]) -> SessionCreate:
    """Read the new-session form, or raise ValidationError."""
    facts: dict[str, Any] = {each.name: fields.get(each.name, "") for each in PRODUCT}
    facts["brand_colors"] = [part.strip() for part in facts["brand_colors"].split(",") if part.strip()]
    if not facts["session_id"].strip():
        del facts["session_id"]
    scenes = [{"scenario": scenario, **_scene_values(fields, f"{scenario}.")} for scenario in Scenario]
    return SessionCreate.model_validate({**facts, "scene_descriptions": scenes})


def patch_of(fields: dict[str, str]) -> ScenePatch:
    """Read the form of a scene, or raise ValidationError."""
    return ScenePatch.model_validate(_scene_values(fields))


def only_edited(patch: ScenePatch, fields: dict[str, str]) -> ScenePatch:
    """Return the fields that a person has edited. The others may be newer in the records."""
    edited = {
        name
        for name in patch.model_fields_set
        if ORIGINAL + name not in fields or fields[ORIGINAL + name].strip() != fields[name].strip()
    }
    return ScenePatch.model_validate(patch.model_dump(include=edited))


def _scene_values(fields: dict[str, str], prefix: str = "") -> dict[str, Any]:
    values = {each.name: fields[prefix + each.name].strip() for each in SCENE if prefix + each.name in fields}
    if not values.get("duration"):
        values.pop("duration", None)
    return {name: None if name in NULLABLE and not value else value for name, value in values.items()}


def initial_fields(scene: SceneDescription) -> dict[str, str]:
    """Return the fields of a scene's form as it is rendered first."""
    fields = {}
    for each in SCENE:
        value = getattr(scene, each.name)
        fields[each.name] = f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
    fields["first_frame"] = display_name(fields["first_frame"])
    return fields | {ORIGINAL + name: text for name, text in fields.items()}


def with_errors(fields: dict[str, str], error: Exception) -> FormState:
    """Return a submitted form with its errors."""
    if isinstance(error, ValidationError):
        return FormState(fields, {_field_name(item["loc"]): _advice(item) for item in error.errors()}, 422)
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # The page only says that the log has the reason.
        log.error("%s", error)
    named = {_field_name(tuple(each.field.split("."))): each.detail for each in problem.errors}
    errors = {name if name in fields else "": detail for name, detail in named.items()}
    return FormState(fields, errors or {"": problem.detail}, problem.status, problem.headers)


def _field_name(location: tuple[int | str, ...]) -> str:
    """Return the name of the form's field for the location of an error in the request."""
    steps = [str(step) for step in location]
    if steps[0] == "scene_descriptions" and len(steps) > 1:
        scenario = list(Scenario)[int(steps[1])] if steps[1].isdecimal() else steps[1]
        # An error of a whole scene is shown at its first field.
        return f"{scenario}.{steps[2] if len(steps) > 2 else DESCRIPTION.name}"
    return steps[0]


def _advice(item: ErrorDetails) -> str:
    match item["type"]:
        case "string_too_short" | "missing":
            return "Please fill this in."
        case "float_parsing":
            return "Please enter a number."
        case "int_parsing" | "int_from_float":
            return "Please enter a whole number."
        case "string_too_long":
            return f"At most {item['ctx']['max_length']} characters, please."
        case "string_pattern_mismatch":
            return PATTERN_ADVICE.get(str(item["loc"][-1]), item["msg"])
    return item["msg"].removeprefix("Value error, ")


PATTERN_ADVICE = {
    "session_id": "Letters, digits, - and _ only, at most 64.",
    "size": "Use WIDTHxHEIGHT, such as 1280x720.",
    "first_frame": "Use an address that begins with https://.",
}


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
