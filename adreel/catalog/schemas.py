"""A model's schema, read as facts: which parameters its request has, and the rules between them.

A schema tells only some facts. What it does not tell, or tells in a way that is not understood, is left out, and is
never guessed.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from adreel.catalog.facts import Duration, Frames, Sound
from adreel.catalog.published import Line, Page, one_line, plain_capabilities, validated

PARAMETERS = ("CFGScale", "steps", "lora", "acceleration", "speech", "fps")
"""Parameters that only some models have."""
SOUND_SWITCHES = ("audio", "generateAudio", "sound")
VIDEO_TASK = "videoInference"
MAX_NUMBER = 1e9
MAX_VALUES = 1000
MAX_BRANCHES = 50
"""Maximum number of branches of a rule that are compared with each other."""

Json = dict[str, Any]


class _Info(Page):
    air: Line | None = Field(None, alias="x-air-id")
    title: Line = ""
    status: Line | None = Field(None, alias="x-status")
    creator: Json | None = Field(None, alias="x-creator")
    capabilities: list[str] | None = Field(None, alias="x-capabilities")


@dataclass(frozen=True)
class Schema:
    """Content of a model's schema: its identity, and `facts` by the names of VideoModel's fields."""

    air: str | None
    name: str
    creator: str
    status: str | None
    task_type: str
    capabilities: frozenset[str]
    needed_inputs: frozenset[str]
    facts: Json


def parse_schema(document: Any) -> Schema:
    """Read the schema of a model, which is an OpenAPI document of its request."""
    if not isinstance(document, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - one error for every other shape
    info = validated(_Info, document.get("info"))
    body = _object(_object(_object(document, "components"), "schemas"), "RequestBody")
    task = _object(body, "items") or body
    properties = _object(task, "properties")
    if not (properties or task.get("oneOf") or task.get("anyOf")):
        raise ValueError("it has no properties of a request")
    return Schema(
        air=info.air,
        name=re.sub(r"^Runware API\s*[-–—]\s*", "", info.title),  # noqa: RUF001 - dashes that titles may have
        creator=one_line(str((info.creator or {}).get("name") or "")),
        status=info.status,
        task_type=next(_words(_object(properties, "taskType")), VIDEO_TASK),
        capabilities=plain_capabilities(info.capabilities),
        needed_inputs=frozenset(_strings(_object(properties, "inputs").get("required"))),
        # Variants that are not spelled out tell nothing about single parameters.
        facts=_facts(task, properties) if properties else {},
    )


def _facts(task: Json, properties: Json) -> Json:
    required = frozenset(_strings(task.get("required")))

    def presence(name: str) -> str:
        return "required" if name in required else "optional" if name in properties else "absent"

    media = _object(properties, "inputs")
    rules = _Rules(task, media)
    facts: Json = {
        "prompt": presence("positivePrompt"),
        "negative_prompt": "negativePrompt" in properties,
        "seed": "seed" in properties,
        "inputs": presence("inputs") if "inputs" in properties else None,
        "width_height": presence("width"),
        "parameters": tuple(name for name in PARAMETERS if name in properties),
        "settings": next((name for name in ("settings", "providerSettings") if name in properties), None),
    }
    told = {
        "prompt_length": _prompt_length(_object(properties, "positivePrompt")),
        "duration": _duration(properties, is_required="duration" in required),
        "frame_durations": rules.frame_durations(),
        "sizes": rules.sizes(),
        "size_durations": rules.size_durations(),
        "size_with_frames": rules.size_with_frames(
            has_both="width" in properties and "frameImages" in _object(media, "properties")
        ),
        "frames": _frames(properties, media),
        "references": _references(properties, media),
        "frames_with_references": False if rules.excludes("inputs.frameImages", "inputs.referenceImages") else None,
        "sound": _sound(properties),
    }
    facts |= {name: value for name, value in told.items() if value is not None}
    resolutions = tuple(dict.fromkeys(_words(_object(properties, "resolution"))))
    if resolutions or "resolution" not in properties:
        facts["resolutions"] = resolutions or None
    return facts


def _prompt_length(schema: Json) -> tuple[int, int] | None:
    most = _integer(schema.get("maxLength"))
    return (_integer(schema.get("minLength")) or 0, most) if most is not None else None


def _duration(properties: Json, *, is_required: bool) -> Duration | str | None:
    if "duration" not in properties:
        return "absent"
    schema = _object(properties, "duration")
    # A duration may also be a word, such as "auto": then its numbers are one of several branches.
    branches = [schema, *_objects(schema.get("oneOf")), *_objects(schema.get("anyOf"))]
    numbers = [each for branch in branches for each in _list(branch.get("enum")) if _is_number(each)]
    ranged: Json = next((branch for branch in branches if _is_number(branch.get("maximum"))), {})
    least, most, step = ranged.get("minimum", 1), ranged.get("maximum"), ranged.get("multipleOf", 0)
    types = set(_strings([branch.get("type") for branch in branches]))
    if not (numbers or ranged or types & {"integer", "number"}):
        return None
    whole = "integer" in types or (_is_whole(step) and step > 0) or bool(numbers and all(map(_is_whole, numbers)))
    limits: Json = {}
    if numbers and whole:
        limits["values"] = tuple(sorted(int(number) for number in numbers if _is_whole(number)))
    elif numbers:
        limits |= {"min": math.floor(min(numbers)), "max": math.ceil(max(numbers))}
    elif most is not None and _is_number(least):
        least, most = math.floor(least), math.ceil(most)
        limits |= {"min": least, "max": most}
        if _is_whole(step) and step > 1 and (most - least) / step < MAX_VALUES:
            limits = {"values": tuple(range(least, most + 1, int(step)))}
    default = next((branch["default"] for branch in branches if _is_number(branch.get("default"))), None)
    return Duration(whole=whole, default=default, required=is_required, **limits)


def _frames(properties: Json, media: Json) -> Frames | None:
    schema = _input(properties, media, "frameImages")
    if schema is None:
        return None
    if schema is False:
        return Frames(max=0, positions=())
    most = _integer(schema.get("maxItems"))
    words = set(_words(_object(_object(_object(schema, "items"), "properties"), "frame")))
    positions = tuple(position for position in ("first", "last") if position in words)
    if not positions and most == 1:
        positions = ("first",)
    return Frames(max=most or len(positions), positions=positions) if positions else None


def _references(properties: Json, media: Json) -> int | None:
    schema = _input(properties, media, "referenceImages")
    return 0 if schema is False else _integer(schema.get("maxItems")) if schema else None


def _input(properties: Json, media: Json, name: str) -> Any:
    """Return the schema of a kind of input; False if the request can't have it, None if that is not told."""
    if "inputs" not in properties:
        return False
    declared = _object(media, "properties")
    if name in declared:
        return _object(declared, name)
    return False if declared and media.get("additionalProperties") is False else None


def _sound(properties: Json) -> Sound | None:
    providers = _object(_object(properties, "providerSettings"), "properties")
    places = {"settings": properties.get("settings")}
    places |= {f"providerSettings.{one_line(provider)}": schema for provider, schema in providers.items()}
    for path, place in places.items():
        switches = _object(place, "properties")
        for name in SOUND_SWITCHES:
            switch = _object(switches, name)
            if switch.get("type") == "boolean":
                default = switch.get("default")
                return Sound(parameter=f"{path}.{name}", default=default if isinstance(default, bool) else None)
    return None


class _Rules:
    """The rules between parameters, which JSON Schema writes in many ways. What is not understood tells nothing."""

    def __init__(self, task: Json, media: Json) -> None:
        self._rules = [task, *_objects(task.get("allOf"))]
        self._excluded = {pair for rule in self._rules for pair in _exclusions(rule)}
        for rule in (media, *_objects(media.get("allOf"))):
            self._excluded |= {frozenset(f"inputs.{name}" for name in pair) for pair in _exclusions(rule)}

    def excludes(self, first: str, second: str) -> bool:
        """Whether two parameters can't go together."""
        return frozenset({first, second}) in self._excluded

    def size_with_frames(self, *, has_both: bool) -> str | None:
        """Return whether a size may go next to frame images, if that is told."""
        if any(self.excludes(side, "inputs.frameImages") for side in ("width", "height")):
            return "excluded"
        is_clear = not any(map(_is_about_size_and_frames, self._rules))
        return "allowed" if has_both and is_clear else None

    def sizes(self) -> tuple[str, ...] | None:
        """Return the only sizes. A narrower list is for one mode of the model, so the longest counts."""
        lists = [
            [size for branch in _objects(place.get(word)) if (size := _size(branch))]
            for rule in self._rules
            for place in (rule, _object(rule, "then"))
            for word in ("oneOf", "anyOf")
        ]
        longest: list[str] = max(lists, key=len, default=[])
        return tuple(dict.fromkeys(longest)) or None

    def size_durations(self) -> dict[str, tuple[int, ...]] | None:
        """Return the durations of the sizes that allow fewer."""
        found = {
            size: durations
            for rule in self._rules
            if (size := _size(_object(rule, "if"))) and (durations := _then_durations(rule))
        }
        return found or None

    def frame_durations(self) -> tuple[int, ...] | None:
        """Return the durations next to frame images, if fewer."""
        for rule in self._rules:
            is_about_frames = [{"inputs.frameImages"}] == [
                names - {"inputs"} for names in _alternatives(_object(rule, "if"))
            ]
            if is_about_frames and (durations := _then_durations(rule)):
                return durations
        return None


def _exclusions(rule: Json) -> Iterator[frozenset[str]]:
    """Yield the pairs of parameters that a rule does not allow together."""
    groups: list[set[str]] = []
    denied, condition, then = (_object(rule, word) for word in ("not", "if", "then"))
    # A rule about single values, such as one resolution, does not exclude the parameter as a whole.
    if denied and not _names_values(denied):
        groups += _alternatives(denied)
    if condition and not _names_values(condition):
        refused = _alternatives(_object(then, "not")) if "not" in then else []
        refused += [{name} for name, schema in _object(then, "properties").items() if schema is False]
        groups += [given | names for given in _alternatives(condition) for names in refused]
    branches = [names for branch in _objects(rule.get("oneOf"))[:MAX_BRANCHES] for names in _alternatives(branch)]
    groups += [first | second for index, first in enumerate(branches) for second in branches[index + 1 :]]
    for group in groups:
        names = group - {"inputs"}
        # A size is two parameters, which always go together.
        sides = names & {"width", "height"}
        others = names - sides
        if sides and len(others) == 1:
            yield from (frozenset({side, *others}) for side in sides)
        elif len(names) == 2:
            yield frozenset(names)


def _alternatives(schema: Json) -> list[set[str]]:
    """Return the sets of parameters, one of which a value of a schema has, as paths: inputs.frameImages."""
    required = _required(schema)
    branches = [*_objects(schema.get("anyOf")), *_objects(schema.get("oneOf"))]
    found = [required | names for branch in branches[:MAX_BRANCHES] for names in _alternatives(branch)]
    return found[:MAX_BRANCHES] or [required]


def _required(schema: Json, prefix: str = "") -> set[str]:
    found = {prefix + name for name in _strings(schema.get("required"))}
    for name, inner in _object(schema, "properties").items():
        found |= _required(inner, f"{prefix}{name}.") if isinstance(inner, dict) else set()
    for part in _objects(schema.get("allOf")):
        found |= _required(part, prefix)
    return found


def _is_about_size_and_frames(rule: Json) -> bool:
    """Whether a rule relates a size and frame images in a way that is not understood."""
    rule = {word: value for word, value in rule.items() if word not in {"properties", "required", "allOf"}}
    text = json.dumps(rule)
    is_either = set(rule) == {"anyOf"} and all(map(_required, _objects(rule["anyOf"])))
    return "width" in text and "frameImages" in text and not is_either and not list(_exclusions(rule))


def _names_values(schema: Json) -> bool:
    return bool(re.search(r'"(const|enum)":', json.dumps(schema)))


def _size(schema: Json) -> str | None:
    sides = [_object(_object(schema, "properties"), side).get("const") for side in ("width", "height")]
    return f"{sides[0]}x{sides[1]}" if all(isinstance(side, int) and side > 0 for side in sides) else None


def _then_durations(rule: Json) -> tuple[int, ...] | None:
    schema = _object(_object(_object(rule, "then"), "properties"), "duration")
    numbers = [*_list(schema.get("enum")), *([schema["const"]] if "const" in schema else [])]
    return tuple(map(int, numbers)) if numbers and all(map(_is_whole, numbers)) else None


def _words(schema: Json) -> Iterator[str]:
    """Yield the words that a schema allows."""
    yield from map(one_line, _strings([schema.get("const"), *_list(schema.get("enum"))]))
    for word in ("oneOf", "anyOf"):
        for branch in _objects(schema.get(word)):
            yield from _words(branch)


def _object(schema: Any, name: str) -> Json:
    found = schema.get(name) if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[Json]:
    return [each for each in _list(value) if isinstance(each, dict)]


def _strings(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]


def _integer(value: Any) -> int | None:
    return int(value) if _is_whole(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _is_whole(value: Any) -> bool:
    return _is_number(value) and float(value).is_integer()
