"""Forms of the storyboard: fields become requests, and errors return to their fields."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from fastapi import Depends, Request
from pydantic import ValidationError

from adreel.errors import AdreelError
from adreel.models.api import SceneCreate, ScenePatch, SessionCreate
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session
from adreel.records.inputs import display_name
from adreel.web.form_fields import form_fields
from adreel.web.pages.rendering import NAMES
from adreel.web.problems import Refusal, refusal_of

PATIENCE = 50
"""Tenths of a second that a second click waits for the first one's answer."""

SHOWN = "shown."
"""Prefix of the hidden fields with the texts that a scene's form was filled with."""

CLEARABLE = {"first_frame", "model", "size", "seed"}
WRONG = (ValidationError, Refusal, AdreelError)
T = TypeVar("T")

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class Input:
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
        """Whether it may not be empty."""
        return self.model.model_fields[self.name].is_required()

    def keeps(self, value: str) -> bool:
        """Whether a value can't be sent from here: the file of a first frame lies on the generating machine."""
        return self.name == "first_frame" and bool(value) and not value.startswith("https://")


PRODUCT = (
    Input("product_name", "Product", Session),
    Input("category", "Category", Session),
    Input("main_benefit", "Main benefit", Session, is_wide=True),
    Input("target_audience", "Audience", Session, is_wide=True),
    Input("brand_tone", "Tone", Session),
    Input("brand_colors", "Colours, comma-separated", Session),
    Input("target_platform", "Platform", Session),
    Input("website_url", "Website", Session),
    Input("session_id", "Id", Session, is_wide=True),
)
SEEN = Input("visual_description", "What one sees", SceneCreate, "area", is_wide=True)
DETAILS = (
    Input("camera_work", "Camera", SceneCreate),
    Input("lighting", "Lighting", SceneCreate),
    Input("audio_design", "Sound", SceneCreate),
    Input("background_music", "Music", SceneCreate),
    Input("sound_effects", "Sound effects", SceneCreate),
    Input("dialog_narration", "Narration", SceneCreate),
    Input("duration", "Seconds", SceneCreate, "number"),
    Input("size", "Size", SceneCreate),
    Input("model", "Model", SceneCreate),
    Input("seed", "Seed", SceneCreate, "number"),
    Input("first_frame", "First frame", SceneCreate, is_wide=True),
)
SCENE = (SEEN, *DETAILS)


@dataclass(frozen=True)
class Entered:
    """A form as it was sent, to be shown again with what is wrong, by the names of its fields; "" is the form."""

    fields: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


async def _sent_fields(request: Request) -> dict[str, str]:
    # Browsers send the ends of lines as CRLF.
    return {name: value.replace("\r\n", "\n") for name, value in (await form_fields(request)).items()}


Fields = Annotated[dict[str, str], Depends(_sent_fields)]


def label_of(name: str) -> str:
    """Return what people call a field of the form of a new session."""
    group, _, last = name.rpartition(".")
    label = next((each.label for each in (*PRODUCT, *SCENE) if each.name == last), last)
    return f"{NAMES[Scenario(group)]}: {label}" if group else label


def new_token() -> str:
    """Return what makes one showing of a form unlike any other."""
    return uuid4().hex


def session_of(fields: dict[str, str]) -> SessionCreate:
    """Read the form of a new session, or raise ValidationError."""
    facts: dict[str, Any] = {each.name: fields.get(each.name, "") for each in PRODUCT}
    facts["brand_colors"] = [part.strip() for part in facts["brand_colors"].split(",") if part.strip()]
    if not facts["session_id"].strip():
        del facts["session_id"]
    scenes = [{"scenario": scenario, **_described(fields, f"{scenario}.")} for scenario in Scenario]
    return SessionCreate.model_validate({**facts, "scene_descriptions": scenes})


def changes_of(fields: dict[str, str]) -> ScenePatch:
    """Read the form of a scene, or raise ValidationError."""
    return ScenePatch.model_validate(_described(fields))


def edited(asked: ScenePatch, fields: dict[str, str]) -> ScenePatch:
    """Return the fields whose text differs from the form as it was shown. The others may be newer in the records."""
    names = {name for name in asked.model_fields_set if fields.get(SHOWN + name, "").strip() != fields[name].strip()}
    unknown = {name for name in asked.model_fields_set if SHOWN + name not in fields}
    return ScenePatch.model_validate(asked.model_dump(include=names | unknown))


def _described(fields: dict[str, str], prefix: str = "") -> dict[str, Any]:
    sent = {each.name: fields[prefix + each.name].strip() for each in SCENE if prefix + each.name in fields}
    if not sent.get("duration"):
        sent.pop("duration", None)
    return {name: None if name in CLEARABLE and not value else value for name, value in sent.items()}


def filled(scene: SceneDescription) -> dict[str, str]:
    """Return the fields of a scene's form, as they are before anybody types."""
    fields = {each.name: _text(getattr(scene, each.name)) for each in SCENE}
    fields["first_frame"] = display_name(fields["first_frame"])
    return fields | {SHOWN + name: text for name, text in fields.items()}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def refused(fields: dict[str, str], error: Exception) -> Entered:
    """Return a form as it was sent, with what is wrong in it."""
    if isinstance(error, ValidationError):
        return Entered(fields, {_place(item["loc"]): _advice(item) for item in error.errors()}, 422)
    refusal = refusal_of(error)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # Callers are told only that the log says why.
        log.error("%s", error, exc_info=None if isinstance(error, Refusal | AdreelError) else error)
    places = {_place(tuple(each.field.split("."))): each.detail for each in refusal.errors}
    known = {place if place in fields else "": detail for place, detail in places.items()}
    return Entered(fields, known or {"": refusal.detail}, refusal.status, refusal.headers)


def _place(location: tuple[int | str, ...]) -> str:
    """Return the name of the form's field for the place of an error in a request."""
    steps = [str(step) for step in location]
    if steps[0] == "scene_descriptions" and len(steps) > 1:
        scenario = list(Scenario)[int(steps[1])] if steps[1].isdecimal() else steps[1]
        steps = [str(scenario), *steps[2:]]
        # A scene that can't be bought as a whole is told where it begins.
        return ".".join(steps[:2] if len(steps) > 1 else [*steps, SEEN.name])
    return steps[0]


def _advice(item: Any) -> str:
    name, kind = str(item["loc"][0 if len(item["loc"]) == 1 else -1]), item["type"]
    if kind in {"string_too_short", "missing"}:
        return "Please fill this in."
    if kind in {"float_parsing", "int_parsing", "int_from_float"}:
        return "Please enter a whole number." if kind.startswith("int") else "Please enter a number."
    if kind == "string_too_long":
        return f"At most {item['ctx']['max_length']} characters, please."
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(name, str(item["msg"]))
    return str(item["msg"]).removeprefix("Value error, ")


_PATTERNS = {
    "session_id": "Letters, digits, - and _ only, at most 64.",
    "size": "Use WIDTHxHEIGHT, such as 1280x720.",
    "first_frame": "Use an address that begins with https://.",
}


async def first_answer(call: Callable[[], Awaitable[T]]) -> T:
    """Call something that may cost; a second click waits for what the first one gets."""
    for _ in range(PATIENCE):
        try:
            return await call()
        except Refusal as refusal:
            if refusal.code != "inFlight":
                raise
            await asyncio.sleep(0.1)
    return await call()
