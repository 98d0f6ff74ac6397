"""Products and variants: one file from which a campaign makes an ad of each product in each variant.

A product has the facts of a session. A variant has scene descriptions, and facts that override those of the product. In
a scene's text, `{main_benefit}` is replaced by that fact.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from adreel.errors import InputError
from adreel.models.field_errors import field_errors
from adreel.models.sessions import Session

PLACEHOLDER = re.compile(r"\{(\w+)\}")
LONGEST_FACT = 4000
LONGEST_TEXT = 16_000
"""Maximum characters of a text before facts are filled in: it could grow a thousandfold."""
FACTS = [name for name in Session.model_fields if name != "scene_descriptions"]


def each_ad(data: Any, file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the session data of each product in each variant, one product after the other."""
    products = _entries_of(data, "products", "session_id", file)
    variants = _entries_of(data, "variants", "variant", file)
    for product in products:
        for variant in variants:
            place = f"{file}, {product['session_id']} in variant {variant['variant']}"
            facts = {**product, **variant, "variant": str(variant["variant"])}
            scenes = _fill(facts.pop("scene_descriptions", []), facts, place)
            session_id = f"{product['session_id']}-{variant['variant']}"
            yield place, {**facts, "session_id": session_id, "scene_descriptions": scenes}


class WrongField(NamedTuple):
    """An invalid field of products and variants."""

    steps: tuple[str | int, ...]
    place: str
    """Place of the field in words: `variants.1.hook.duration`."""
    reason: str


def wrong_fields(data: Any, file: str) -> list[WrongField]:
    """Return the invalid fields. Each product is tried in the first variant, each variant with the first product."""
    wrong: dict[str, WrongField] = {}
    columns = len(_entries_of(data, "variants", "variant", file))
    for number, (_, ad) in enumerate(each_ad(data, file)):
        product, variant = divmod(number, columns)
        if product and variant:
            continue
        try:
            Session.model_validate(ad, extra="forbid")
        except ValidationError as error:
            for steps, place, reason in field_errors(error, ad, Session):
                is_of_variant = steps[:1] != ("session_id",) and steps[:1] and steps[0] in data["variants"][variant]
                kind, entry = ("variants", variant) if is_of_variant else ("products", product)
                found = WrongField((kind, entry, *steps), f"{kind}.{entry}.{place}", reason)
                wrong.setdefault(found.place, found)
    return list(wrong.values())


def _entries_of(data: Any, kind: str, key: str, file: str) -> list[dict[str, Any]]:
    entries = data.get(kind) if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{file} has no list of {kind}: a campaign in one file needs products and variants")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or entry.get(key) in (None, ""):
            raise InputError(f"{file}: number {number} of its {kind} needs a {key}: the ads are identified by it")
        if isinstance(entry[key], bool) or not isinstance(entry[key], str | int):
            raise InputError(
                f"{file}: {key} of number {number} of its {kind} is read as {entry[key]!r}: put it in quotes"
            )
    return entries


def _fill(value: Any, facts: dict[str, Any], place: str) -> Any:
    if isinstance(value, dict):
        return {name: _fill(each, facts, place) for name, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, facts, place) for each in value]
    if not isinstance(value, str):
        return value

    def fact(found: re.Match[str]) -> str:
        name = found[1]
        if name not in FACTS or name not in facts:
            raise InputError(
                f"{place}: {found[0]} is not a fact of the product; the facts are {', '.join(sorted(facts))}"
            )
        value = facts[name]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if len(text) > LONGEST_FACT:
            raise InputError(f"{place}: {name} has {len(text)} characters: at most {LONGEST_FACT} fit into {found[0]}")
        return text

    if len(value) > LONGEST_TEXT and PLACEHOLDER.search(value):
        raise InputError(f"{place}: a text with facts has {len(value)} characters: at most {LONGEST_TEXT} are allowed")
    return PLACEHOLDER.sub(fact, value)
