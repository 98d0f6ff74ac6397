"""A model's schema, in the forms in which JSON Schema can write a rule."""

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adreel.catalog import packaged
from adreel.catalog.facts import Duration, Frames, Sound, VideoModel
from adreel.catalog.published import parse_index, parse_listing, parse_pricing
from adreel.catalog.schemas import parse_schema
from adreel.catalog.updates import ModelPages, update_model
from adreel.emulator.documents import Documents
from adreel.emulator.facts import Facts

FRAMES: dict[str, Any] = {
    "type": "array",
    "maxItems": 2,
    "items": {"properties": {"image": {}, "frame": {"anyOf": [{"enum": ["first", "last"]}, {"type": "integer"}]}}},
}
MEDIA: dict[str, Any] = {"properties": {"frameImages": FRAMES, "referenceImages": {"maxItems": 3}}}
SIZE: dict[str, Any] = {"width": {"type": "integer"}, "height": {"type": "integer"}, "inputs": MEDIA}
HAS_FRAMES: dict[str, Any] = {"required": ["inputs"], "properties": {"inputs": {"required": ["frameImages"]}}}
HAS_SIZE: dict[str, Any] = {"required": ["width", "height"]}


def facts(properties: dict[str, Any], *rules: Any, required: tuple[str, ...] = (), **keywords: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"properties": {"taskType": {"const": "videoInference"}, **properties}}
    task |= {"required": list(required), "allOf": list(rules), **keywords}
    return parse_schema({"info": {}, "components": {"schemas": {"RequestBody": {"items": task}}}}).facts


def size(width: int, height: int) -> dict[str, Any]:
    return {"title": "a size", "properties": {"width": {"const": width}, "height": {"const": height}}}


@pytest.mark.parametrize(
    ("schema", "duration"),
    [
        ({"type": "integer", "enum": [10, 5], "default": 5}, Duration(values=(5, 10), default=5)),
        ({"enum": [5, 10]}, Duration(values=(5, 10))),
        ({"oneOf": [{"type": "integer", "minimum": 4, "maximum": 12}, {"const": "auto"}]}, Duration(min=4, max=12)),
        ({"anyOf": [{"enum": ["auto"]}, {"type": "integer", "enum": [4, 8]}]}, Duration(values=(4, 8))),
        ({"type": "integer", "minimum": 6, "maximum": 12, "multipleOf": 2}, Duration(values=(6, 8, 10, 12))),
        ({"type": "number", "minimum": 0.5, "maximum": 9.5}, Duration(whole=False, min=0, max=10)),
        ({"type": "number", "enum": [2.5, 5]}, Duration(whole=False, min=2, max=5)),
        ({"type": "number", "multipleOf": 1, "maximum": 8}, Duration(min=1, max=8)),
        ({"type": "integer"}, Duration()),
        ({"type": "integer", "minimum": 1, "maximum": 10**30}, Duration()),
        (True, None),
        ({"description": "in seconds"}, None),
    ],
)
def test_durations_are_read_as_values_or_as_a_range(schema: Any, duration: object) -> None:
    assert facts({"duration": schema}).get("duration") == duration


def test_a_parameter_is_required_optional_or_absent() -> None:
    found = facts({"positivePrompt": {"maxLength": 2500}, "seed": {}}, required=("positivePrompt",))
    assert (found["prompt"], found["prompt_length"], found["seed"]) == ("required", (0, 2500), True)
    assert (found["negative_prompt"], found["width_height"], found["duration"]) == (False, "absent", "absent")
    assert (found["frames"], found["references"]) == (Frames(max=0, positions=()), 0)
    assert (found["resolutions"], found["settings"]) == (None, None)


def test_frames_and_references_are_counted() -> None:
    found = facts({"inputs": MEDIA})
    assert (found["frames"], found["references"]) == (Frames(max=2, positions=("first", "last")), 3)


def test_inputs_that_are_not_declared_exist_unless_the_schema_is_closed() -> None:
    media = {"properties": {"frameImages": FRAMES}}
    assert "references" not in facts({"inputs": media})
    assert facts({"inputs": {**media, "additionalProperties": False}})["references"] == 0
    assert "frames" not in facts({"inputs": {"type": "object"}})


@pytest.mark.parametrize(
    "rule",
    [
        {"not": {"required": ["width", "inputs"], "properties": {"inputs": {"required": ["frameImages"]}}}},
        {"not": {"allOf": [HAS_SIZE, HAS_FRAMES]}},
        {"oneOf": [HAS_SIZE, HAS_FRAMES]},
        {"oneOf": [HAS_SIZE, HAS_FRAMES, {"required": ["resolution"]}]},
        {"if": HAS_FRAMES, "then": {"not": {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]}}},
        {"if": HAS_FRAMES, "then": {"properties": {"width": False, "height": False}}},
        {"if": {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]}, "then": {"not": HAS_FRAMES}},
    ],
)
def test_a_rule_against_a_size_next_to_frames_is_understood(rule: Any) -> None:
    assert facts(SIZE, rule)["size_with_frames"] == "excluded"


@pytest.mark.parametrize("rules", [[], [{"anyOf": [HAS_SIZE, HAS_FRAMES]}], [{"dependentRequired": {"width": ["x"]}}]])
def test_without_a_rule_against_it_a_size_may_go_next_to_frames(rules: list[Any]) -> None:
    assert facts(SIZE, *rules)["size_with_frames"] == "allowed"


@pytest.mark.parametrize(
    "rule",
    [
        {"if": HAS_FRAMES, "then": {"anyOf": [{"required": ["width"]}, {"required": ["resolution"]}]}},
        {"not": {"allOf": [HAS_FRAMES, {"properties": {"width": {"const": 3840}}, "required": ["width"]}]}},
        {"dependentSchemas": {"width": {"not": HAS_FRAMES}}},
    ],
)
def test_a_rule_that_is_not_understood_tells_nothing(rule: Any) -> None:
    assert "size_with_frames" not in facts(SIZE, rule)
    assert "size_with_frames" not in facts(SIZE, **rule)


def test_sizes_and_their_durations_are_read_from_rules() -> None:
    pairs = [size(1280, 720), size(720, 1280), size(1920, 1080)]
    found = facts(
        SIZE,
        {"if": {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]}, "then": {"oneOf": pairs}},
        {"if": {"required": ["speech"]}, "then": {"oneOf": pairs[:1]}},
        {"if": size(1920, 1080), "then": {"properties": {"duration": {"const": 6}}}},
        {"if": HAS_FRAMES, "then": {"properties": {"duration": {"enum": [5, 10]}}}},
    )
    assert found["sizes"] == ("1280x720", "720x1280", "1920x1080")
    assert found["size_durations"] == {"1920x1080": (6,)}
    assert found["frame_durations"] == (5, 10)


@pytest.mark.parametrize(
    "schema",
    [{"enum": ["720p", "4K"]}, {"oneOf": [{"const": "720p"}, {"const": "4K"}]}, {"anyOf": [{"enum": ["720p", "4K"]}]}],
)
def test_resolutions_are_read_from_choices(schema: Any) -> None:
    assert facts({"resolution": schema})["resolutions"] == ("720p", "4K")
    assert "resolutions" not in facts({"resolution": {"type": "string"}})


def test_frames_and_references_may_exclude_each_other() -> None:
    closed = {**MEDIA, "not": {"required": ["frameImages", "referenceImages"]}}
    assert facts({"inputs": closed})["frames_with_references"] is False
    assert "frames_with_references" not in facts({"inputs": MEDIA})


def test_the_switch_of_the_sound_is_found_by_its_name_and_type() -> None:
    switch = {"type": "boolean", "default": True}
    assert facts({"settings": {"properties": {"audio": switch}}})["sound"] == Sound(
        parameter="settings.audio", default=True
    )
    nested = {"properties": {"google": {"properties": {"generateAudio": {"type": "boolean"}}}}}
    found = facts({"providerSettings": nested})
    assert (found["sound"], found["settings"]) == (
        Sound(parameter="providerSettings.google.generateAudio"),
        "providerSettings",
    )
    assert "sound" not in facts({"settings": {"properties": {"audio": {"type": "string"}}}})


def test_variants_that_are_not_spelled_out_tell_nothing() -> None:
    body = {"items": {"oneOf": [{"title": "text"}]}}
    assert parse_schema({"info": {}, "components": {"schemas": {"RequestBody": body}}}).facts == {}


@pytest.mark.parametrize("junk", [None, 1, "word", [], ["word"], {}, {"enum": 1}, {"const": {}}, {"properties": []}])
def test_members_of_other_types_are_ignored(junk: Any) -> None:
    names = ("duration", "inputs", "width", "resolution", "settings", "providerSettings", "positivePrompt")
    found = facts(dict.fromkeys(names, junk), junk, {"if": junk, "then": junk}, {"not": junk}, {"oneOf": junk})
    assert not found.keys() & {"sizes", "size_durations", "frame_durations", "resolutions", "prompt_length"}
    found = facts({"inputs": {"properties": {"frameImages": junk, "referenceImages": junk}, "not": junk}})
    assert not found.keys() & {"frames_with_references", "size_durations"}


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["width", "frameImages", "1x1", ""])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["properties", "required", "oneOf", "not", "if", "then", "const"]), inner)
    ),
    max_leaves=5,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all values in a document."""
    yield path
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in members:
        yield from places(value, (*path, name))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_document_with_any_value_replaced_makes_a_valid_model_or_a_value_error(data: st.DataObject) -> None:
    air = data.draw(st.sampled_from(["minimax:h3@0", "google:3@3", "klingai:6@1"]))
    documents, old = Documents(Facts()), packaged().models[air]
    pages: dict[str, Any] = {
        "index": [entry for entry in documents.index() if entry["air"] == air],
        "listing": [entry for entry in documents.listing() if entry["air"] == air],
        "pricing": documents.pricing(air),
        "schema": documents.schema(old.slug),
    }
    pages = deepcopy(pages)
    page = data.draw(st.sampled_from(sorted(pages)))
    *path, last = data.draw(st.sampled_from([place for place in places(pages[page]) if place]))
    holder: Any = pages[page]
    for step in path:
        holder = holder[step]
    holder[last] = data.draw(VALUES)
    with suppress(ValueError):
        [entry], listing = parse_index(pages["index"]), parse_listing(pages["listing"])
        rates, schema = parse_pricing(pages["pricing"], air), parse_schema(pages["schema"])
        model = update_model(air, old, ModelPages(entry, listing.get(air), schema, rates), date(2026, 11, 26))
        assert VideoModel.model_validate(model.model_dump()) == model
