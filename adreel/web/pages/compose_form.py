"""The form of a whole ad: the request that its fields become, and the scenes that a template writes into them."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from adreel.errors import InputError
from adreel.models.ad_templates import SECONDS, SUGGESTED, AdTemplate
from adreel.models.api import SessionCreate
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.web.pages.forms import (
    DESCRIPTION,
    OPTIONS,
    PHOTO,
    PRODUCT,
    SCENE,
    WORDS,
    field_text,
    form_values,
)
from adreel.web.pages.images import KNOWN, image_fields, known_images
from adreel.web.pages.rendering import NAMES
from adreel.web.pages.sound_form import BLOCKS, sound_fields, sound_values

Fields = dict[str, str]

PHOTO_USES = {"": "Not used", "first_frame": "The scene starts from it", "references": "The product looks like it"}
"""How a scene uses the product's photo: the field of the scene that names it, and the label."""
TEXTS = tuple(each.name for each in (DESCRIPTION, *WORDS) if each.name != "duration")


def empty_form() -> Fields:
    """Return the fields of a new ad."""
    product = {each.name: "" for each in (*PRODUCT, PHOTO, *OPTIONS)}
    scenes = {f"{scenario}.{each.name}": "" for scenario in Scenario for each in SCENE}
    durations = {f"{scenario}.duration": str(SECONDS) for scenario in Scenario}
    unused = {f"{scenario}.{name}": "" for scenario in Scenario for name in ("photo", "written")}
    return product | scenes | durations | unused | sound_fields(None) | {"template": ""}


def form_of(session: Session) -> Fields:
    """Return the fields of an ad as it is described."""
    known = known_images(session, *session.scene_descriptions)
    fields = empty_form() | {each.name: field_text(getattr(session, each.name)) for each in (*PRODUCT, *OPTIONS)}
    fields |= sound_fields(session) | image_fields(session, known) | {"brand_colors": ", ".join(session.brand_colors)}
    for scene in session.scene_descriptions:
        own, photo = scene, session.product_photo
        use = ""
        if photo and scene.first_frame == photo:
            own, use = scene.model_copy(update={"first_frame": None}), "first_frame"
        elif photo and photo in (scene.references or ()):
            others = [image for image in scene.references or () if image != photo]
            own, use = scene.model_copy(update={"references": others}), "references"
        texts = {each.name: field_text(getattr(own, each.name)) for each in SCENE} | image_fields(own, known)
        texts |= {"photo": use}
        fields |= {f"{scene.scenario}.{name}": text for name, text in texts.items() if name != KNOWN}
    return fields


def described_scenes(fields: Fields) -> list[Scenario]:
    """Return the scenes in which something was typed or chosen."""
    names = [each.name for each in SCENE if each.name != "duration"]
    return [each for each in Scenario if any(fields.get(f"{each}.{name}", "").strip() for name in names)]


def session_of(fields: Fields, scenarios: Sequence[Scenario]) -> SessionCreate:
    """Read the form with some scenes; raises ValidationError or InputError."""
    facts: dict[str, Any] = {each.name: fields.get(each.name, "") for each in PRODUCT}
    facts["brand_colors"] = [part.strip() for part in facts["brand_colors"].split(",") if part.strip()]
    if not facts["session_id"].strip():
        del facts["session_id"]
    common = form_values(fields, OPTIONS)
    scenes = [{"scenario": each, **_scene_values(fields, each, common.get("product_photo"))} for each in scenarios]
    if not scenes:
        raise InputError("Describe at least one scene, or have the scenes written from a template.")
    return SessionCreate.model_validate({**facts, **common, **sound_values(fields), "scene_descriptions": scenes})


def _scene_values(fields: Fields, scenario: Scenario, photo: str | None) -> dict[str, Any]:
    values = form_values(fields, SCENE, f"{scenario}.")
    use = fields.get(f"{scenario}.photo", "")
    if use and not photo:
        reason = "There is no product photo yet: choose one above."
        raise InputError(reason, {f"scene_descriptions.{scenario}.photo": reason})
    if use == "first_frame":
        values["first_frame"] = photo
    elif use == "references":
        values["references"] = list(dict.fromkeys([*(values.get("references") or []), photo]))
    return values


def write_scenes(
    fields: Fields, template: AdTemplate, seconds: Callable[[Scenario], float]
) -> tuple[Fields, list[Scenario]]:
    """Return the fields with the scenes of a template, and the scenes that were kept as a person wrote them.

    A scene is kept unless it is empty, or as a template wrote it, or `replace` is chosen.
    """
    if not fields.get("product_name", "").strip():
        reason = "Please fill this in: the scenes name the product."
        raise InputError(reason, {"product_name": reason})
    facts = {each.name: fields.get(each.name, "").strip() for each in PRODUCT}
    given = fields | {name: fields.get(name, "").strip() or str(template.facts(facts)[name]) for name in SUGGESTED}
    kept = []
    for scenario in Scenario:
        own = texts_digest(fields, scenario)
        if own and own != fields.get(f"{scenario}.written") and not fields.get("replace"):
            kept.append(scenario)
            continue
        scenes = {scene["scenario"]: scene for scene in template.fill(facts, seconds(scenario))}
        given |= {f"{scenario}.{name}": scenes[scenario].get(name, "") for name in TEXTS}
        given[f"{scenario}.duration"] = f"{seconds(scenario):g}"
        given[f"{scenario}.written"] = texts_digest(given, scenario)
    return given, kept


def texts_digest(fields: Fields, scenario: Scenario) -> str:
    """Return a digest of a scene's texts; empty if there are none."""
    texts = [" ".join(fields.get(f"{scenario}.{name}", "").split()) for name in TEXTS]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] if any(texts) else ""


def label_of(name: str) -> str:
    """Return the label of a field."""
    group, _, last = name.rpartition(".")
    own = {"photo": "Product photo", "template": "Template"}
    label = next((each.label for each in (*PRODUCT, PHOTO, *SCENE) if each.name == last), own.get(last, last))
    if group in BLOCKS:
        return "Narrator" if group == "voice" else "Music"
    return f"{NAMES[Scenario(group)]}: {label}" if group else label
