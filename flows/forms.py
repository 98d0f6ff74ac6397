"""Schemas for the parameter forms of Prefect's UI.

For a field that may be None, a form first asks whether it is None, and shows the field only after that. Here such a
field is shown at once, and an empty field means None. A plain dict becomes a field for JSON. A model becomes one field
for each of its own, which suits a few changes but no whole session. A Literal becomes a list, and a boolean a switch
that sends nothing until it is pressed.
"""

from typing import Annotated, Any, TypeVar

from pydantic import Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from adreel.errors import InputError
from adreel.models.documents import read_json
from adreel.models.parts import PARTS, Part

T = TypeVar("T")


class LeftEmpty:
    """Removes the choice of None from the form of a type and of its fields, which keep their order.

    PostgreSQL would order them by the lengths of their names.
    """

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the form."""
        schema = dict(handler.resolve_ref_schema(_without_none(handler(core))))
        if "properties" in schema:
            schema["properties"] = {
                name: {**_without_none(field), "position": position}
                for position, (name, field) in enumerate(schema["properties"].items())
            }
        return schema


def _without_none(field: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" not in field:
        return field
    kind: dict[str, Any] = next(kind for kind in field["anyOf"] if kind != {"type": "null"})
    return kind | {name: value for name, value in field.items() if name not in {"anyOf", "default"}}


def unpack_json(value: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """Return the JSON of a form's field, {} if it was left empty; InputError if it is no object."""
    # A schedule stores JSON as its form has sent it. Prefect unpacks it only for a run that starts at once.
    if not value or value.get("__prefect_kind") != "json":
        return value or {}
    found = read_json(value.get("value") or "{}", name)
    if not isinstance(found, dict):
        raise InputError(f"{name} is not a JSON object in braces")
    return found


PartChoice = Annotated[Part, WithJsonSchema({"type": "string", "enum": [part.value for part in PARTS]})]
"""A part of an ad, as one list: the form of a union would ask for the type first."""

# An empty field of a number is sent as null, which a schema of a number refuses. So 0 stands for none.
MaxCost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ClipPrice = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# The form sends the default that it shows, and the server would refuse null.
MayBeEmpty = Annotated[T | None, LeftEmpty(), Field(json_schema_extra={"default": {}})]
ChosenParts = Annotated[list[PartChoice] | None, LeftEmpty(), Field(json_schema_extra={"default": []})]
