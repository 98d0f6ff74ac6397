"""Templates of ads: four scenes for a kind of product, filled from the facts of a product without any model."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, Field

from adreel.errors import InputError
from adreel.models.narration import narration_fit
from adreel.models.sessions import INPUT_PATTERN, ImageInputs, Session, parse_session
from adreel.text import advise

SECONDS = 5
SUGGESTED = ("category", "brand_tone", "main_benefit", "target_audience")
"""Facts that a template suggests where a product has none."""
PLATFORMS = (
    "TikTok",
    "Instagram Reels",
    "Instagram Stories",
    "Instagram feed",
    "Facebook feed",
    "YouTube",
    "YouTube Shorts",
    "Snapchat",
    "Pinterest",
    "LinkedIn",
    "Connected TV",
    "Website",
)
"""Platforms that a form offers. Any other name is allowed."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ACROSS_THE_ROOM = re.compile(r"\b(tv|television|cinema)\b", re.IGNORECASE)


class TemplateScene(BaseModel, frozen=True, extra="forbid"):
    """One scene with placeholders. Of the narrations, the first that can be spoken in time is used."""

    scenario: str
    visual_description: str
    camera_work: str
    lighting: str
    background_music: str
    sound_effects: str
    dialog_narration: tuple[str, ...] = Field(min_length=1)


class AdTemplate(BaseModel, frozen=True, extra="forbid"):
    """Four scenes for a kind of product, and suggestions for the facts that a product has not."""

    name: str
    title: str
    about: str
    category: str
    brand_tone: str
    main_benefit: str
    target_audience: str
    scene_descriptions: tuple[TemplateScene, ...]

    def facts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of a product, completed by what the template suggests."""
        known = {name: value for name, value in given.items() if value}
        return {name: getattr(self, name) for name in SUGGESTED} | known

    def fill(self, given: Mapping[str, Any], seconds: float = SECONDS) -> list[dict[str, Any]]:
        """Return the scene descriptions of a product whose scenes last that many seconds."""
        facts = self.facts(given)
        words = {name: str(facts[name]).strip() for name in ("product_name", *SUGGESTED)}
        words |= {name: _as_clause(words[name]) for name in ("main_benefit", "target_audience")}
        is_across_the_room = _ACROSS_THE_ROOM.search(str(facts.get("target_platform", "")))
        words["action"] = "Look for it today" if is_across_the_room else "Tap to see more"
        scenes = []
        for scene in self.scene_descriptions:
            texts = {name: _fill(text, words) for name, text in scene if isinstance(text, str)}
            narrations = [_fill(text, words) for text in scene.dialog_narration]
            narration = next((text for text in narrations if narration_fit(text, seconds).is_given), "")
            scenes.append({**texts, "duration": seconds, "dialog_narration": narration})
        return scenes

    def session(self, given: Mapping[str, Any], seconds: float = SECONDS) -> Session:
        """Return an ad for a product."""
        return parse_session(
            {**self.facts(given), "sound": True, "scene_descriptions": self.fill(given, seconds)},
            f"template {self.name}",
        )


@cache
def ad_templates() -> dict[str, AdTemplate]:
    """Return the templates by name, in alphabetical order."""
    folder = files("adreel.models") / "templates"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        name = file.name.removesuffix(".yaml")
        found[name] = AdTemplate(name=name, **yaml.safe_load(file.read_text(encoding="utf-8")))
    return found


def find_template(name: str) -> AdTemplate:
    """Return a template, or raise InputError."""
    if name not in ad_templates():
        raise InputError(
            f"no template {name!r}: {advise(name, ad_templates())}",
            {"template": f"there is no template {name!r}"},
        )
    return ad_templates()[name]


def for_other_product(session: Session, facts: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return an ad's data with other facts, and the names of the files that are left out.

    The product's name is replaced in the scenes. A file that was copied into the folder of the ad can't be named by
    another ad.
    """
    # Fields that records add, such as the request that made the session, belong to that session alone.
    data = session.model_dump(mode="json", include=set(Session.model_fields) - {"session_id"}, exclude_none=True)
    left_out: list[str] = []
    for block in (data, *data["scene_descriptions"]):
        for name in (*ImageInputs.model_fields, "product_photo"):
            images = block.get(name, [])
            copies = [image for image in (images if isinstance(images, list) else [images]) if _is_copy(image)]
            if copies:
                left_out += copies
                block[name] = [image for image in images if image not in copies] if isinstance(images, list) else None
    if session.cut and (copies := [file for _, file in session.cut.named_files() if _is_copy(file)]):
        left_out += copies
        del data["cut"]
    given = {name: value for name, value in facts.items() if value}
    if given.get("product_name", session.product_name) != session.product_name:
        data.pop("website_url")
        old_name = re.compile(rf"(?<!\w){re.escape(session.product_name)}(?!\w)")
        for block in data["scene_descriptions"]:
            for name, text in block.items():
                if isinstance(text, str):
                    block[name] = old_name.sub(lambda _: given["product_name"], text)
    data["scene_descriptions"] = [_without_empty(block) for block in data["scene_descriptions"]]
    return _without_empty(data | given), list(dict.fromkeys(file.partition("#")[2] for file in left_out))


def _is_copy(file: str) -> bool:
    return INPUT_PATTERN.fullmatch(file) is not None


def _without_empty(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block as a person would write it: 5, not 5.0, and nothing that is empty."""
    found = {name: value for name, value in block.items() if value not in (None, "", [], {})}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in found.items()
    }


def _fill(text: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: words[found[1]], text).strip()


def _as_clause(fact: str) -> str:
    """Return a fact as a part of a sentence: without a full stop, and in lower case unless it begins with a name."""
    fact = " ".join(fact.split()).rstrip(".!")
    first = fact.partition(" ")[0]
    return fact if first[1:] != first[1:].lower() or first in {"I", "A"} else fact[:1].lower() + fact[1:]
