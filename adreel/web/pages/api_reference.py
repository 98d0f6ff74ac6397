"""The reference of the HTTP API: its OpenAPI document for people, with a request to copy for each operation."""

import json
import shlex
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from adreel.errors import AdreelError, InputError, OverBudget, PrefectUnreachable, StorageError
from adreel.web.field_descriptions import description_of
from adreel.web.openapi import ALWAYS
from adreel.web.problems import STATUSES

METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"
NULL = " or null"
"""Left out where null means the same as nothing: in requests."""
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
FORMATS = {"date-time": "time", "date": "day", "binary": "file"}
EXAMPLES = {"date-time": "2026-11-23T12:00:00Z", "date": "2026-11-23", "binary": ""}
COMPLETED = "completed"
OWN_CODES = [
    (400, "framing", "The request has two lengths."),
    (400, "incomplete", "The body is incomplete."),
    (401, "noKey", "The key is missing or wrong."),
    (403, "role", "The role of the key does not allow it."),
    (403, "forged", "Another site made a browser send the request."),
    (413, "tooLarge", "The body is too large."),
    (415, "imageType", "The upload is no image."),
    (416, "range", "The file has no such range."),
    (421, "host", "Without keys the server answers to localhost only."),
    (429, "tooMany", "Too many requests with this key."),
]
"""Codes of problems that are no AdreelError."""


@dataclass(frozen=True)
class FieldRow:
    """A field or a parameter: its kind in words, and the model whose fields it has, if any."""

    name: str
    kind: str
    text: str
    is_required: bool
    model: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer of an operation: its meaning, and the model of its JSON, if any."""

    status: int
    text: str
    model: str = ""


@dataclass(frozen=True)
class Operation:
    """An operation with a request to copy and an answer to expect."""

    anchor: str
    method: str
    path: str
    summary: str
    text: str
    parameters: list[FieldRow]
    body: list[FieldRow]
    request: str
    answers: list[Answer]
    answer: str


@dataclass(frozen=True)
class Group:
    """Operations about one thing."""

    anchor: str
    title: str
    text: str
    operations: list[Operation]


@dataclass(frozen=True)
class Model:
    """A JSON object of an answer or of a body, with its fields."""

    name: str
    text: str
    fields: list[FieldRow]


@dataclass(frozen=True)
class Reference:
    """Groups of operations, the models that they name, and the codes of problems."""

    groups: list[Group]
    models: list[Model]
    codes: list[tuple[int, str, str]]


def build_reference(document: dict[str, Any], address: str, *, needs_key: bool) -> Reference:
    """Return the reference of an OpenAPI document; its requests go to an address, with a key if the server has some."""
    reader = _Reader(document, address, needs_key)
    groups: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, calls in document["paths"].items():
        for method in METHODS:
            if method in calls:
                groups[calls[method]["tags"][0]].append(reader.operation(method, path, calls[method]))
    models = [
        Model(name, schema.get("description", ""), reader.fields(schema))
        for name, schema in sorted(reader.schemas.items())
        if "properties" in schema
    ]
    titles = {tag["name"]: (tag["x-title"], tag["description"]) for tag in document["tags"]}
    return Reference(
        [Group(name, *titles[name], operations) for name, operations in groups.items() if operations],
        models,
        problem_codes(),
    )


def problem_codes() -> list[tuple[int, str, str]]:
    """Return the status, the code and the meaning of each problem."""

    def below(kind: type[AdreelError]) -> list[type[AdreelError]]:
        children: list[type[AdreelError]] = kind.__subclasses__()
        return [kind, *(each for child in children for each in below(child))]

    # Callers are not told more about Prefect than that it is away.
    kinds: list[type[AdreelError]] = [*below(InputError), OverBudget, PrefectUnreachable, *below(StorageError)]
    found = {
        kind.code: (
            next(status for base, status in STATUSES.items() if issubclass(kind, base)),
            kind.code,
            str(kind.__doc__).partition("\n")[0].partition(";")[0].rstrip(".") + ".",
        )
        for kind in kinds
    }
    return sorted([*found.values(), *OWN_CODES])


class _Reader:
    def __init__(self, document: dict[str, Any], address: str, needs_key: bool) -> None:
        self.schemas: dict[str, Any] = document["components"]["schemas"]
        self._address, self._needs_key = address, needs_key

    def operation(self, method: str, path: str, call: dict[str, Any]) -> Operation:
        """Return an operation as the page shows it."""
        parameters = [
            FieldRow(
                each["name"],
                f"{self.kind(each['schema'])[0].removesuffix(NULL)}, in the {each['in']}",
                each["description"],
                each.get("required", False),
            )
            for each in call.get("parameters", ())
        ]
        schema = call.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
        body = [replace(row, kind=row.kind.removesuffix(NULL)) for row in self.fields(self._resolved(schema or {}))]
        answers, example = [], ""
        for status, found in call["responses"].items():
            content = found.get("content", {})
            answer = content.get(JSON, {}).get("schema")
            text = found["description"]
            if answer:
                text = "" if text == "Successful Response" else text
                example = example or json.dumps(self.example(answer), indent=2)
            if int(status) not in ALWAYS:
                answers.append(Answer(int(status), text, self.kind(answer)[1] if answer else ""))
        return Operation(
            call["operationId"],
            method.upper(),
            path,
            call["summary"],
            call["description"],
            parameters,
            body,
            self.request(method, path, call),
            answers,
            example,
        )

    def request(self, method: str, path: str, call: dict[str, Any]) -> str:
        """Return a curl command that calls an operation with its examples."""
        headers, query = {}, ""
        if self._needs_key and path not in {"/healthz", "/readyz"}:
            headers["Authorization"] = "Bearer $KEY"
        for each in call.get("parameters", ()):
            example = self.example(each["schema"])
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", quote(str(example)))
            elif each["in"] == "query" and each.get("required"):
                query += f"{'&' if query else '?'}{each['name']}={quote(str(example))}"
            elif each["name"] == "Idempotency-Key":
                headers["Idempotency-Key"] = str(example)
        parts = [
            "curl" if method == "get" else f"curl -X {method.upper()}",
            shlex.quote(f"{self._address}{path}{query}"),
        ]
        content = call.get("requestBody", {}).get("content", {})
        if JSON in content:
            headers["Content-Type"] = JSON
        elif content:
            headers["Content-Type"] = "image/jpeg"
        # The shell has to put the key in.
        parts += [
            f'-H "{name}: {value}"' if "$" in value else f"-H '{name}: {value}'" for name, value in headers.items()
        ]
        if JSON in content:
            example = json.dumps(self.example(content[JSON]["schema"]), indent=2, ensure_ascii=False)
            parts.append(f"-d {shlex.quote(example)}")
        elif content:
            parts.append("--data-binary @lamp.jpg")
        types = {
            kind for status, found in call["responses"].items() for kind in found.get("content", ()) if status == "200"
        }
        if "text/event-stream" in types:
            parts.append("-N")
        elif types and not any(kind == JSON or kind.startswith("text/") for kind in types):
            parts.append("-O")
        return " \\\n  ".join([" ".join(parts[:2]), *parts[2:]])

    def fields(self, schema: dict[str, Any]) -> list[FieldRow]:
        """Return the fields of an object, the required ones first."""
        required = set(schema.get("required", ()))
        rows = []
        for name, field in schema.get("properties", {}).items():
            kind, model = self.kind(field)
            default = field.get("default")
            if isinstance(default, int | float | str) and default not in {"", False}:
                kind += f", by default {default}"
            rows.append(FieldRow(name, kind, description_of(field, self.schemas), name in required, model))
        return sorted(rows, key=lambda row: not row.is_required)

    def kind(self, schema: dict[str, Any]) -> tuple[str, str]:
        """Return the kind of a value in words, and the name of its model; empty if it is none."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if "properties" in self.schemas[name]:
                return "object", name
            return self.kind(self.schemas[name])
        if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
            return f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else str(choices[0]), ""
        if inner := schema.get("anyOf") or schema.get("allOf"):
            found = [self.kind(each) for each in inner]
            return " or ".join(dict.fromkeys(words for words, _ in found)), next(
                (name for _, name in found if name), ""
            )
        kind = schema.get("type", "any value")
        if kind == "array":
            words, model = self.kind(next(iter(schema.get("prefixItems", ())), schema.get("items", {})))
            words = "objects" if words == "object" else words.removeprefix("one of ")
            return f"list of {_limits(schema)}{words}", model
        words = FORMATS.get(schema.get("format", ""), KINDS.get(kind, kind))
        return f"{words}{_limits(schema)}", ""

    def example(self, schema: dict[str, Any]) -> Any:
        """Return an example of a value: its own, else one that is made of the examples of its parts."""
        names = ("const", "default")
        given = [*schema.get("examples", ()), *(schema[name] for name in names if schema.get(name) is not None)]
        if given and isinstance(given[0], dict):
            # The document sorts the names in its examples.
            return {name: given[0][name] for name in schema.get("properties", given[0]) if name in given[0]}
        if given:
            return given[0]
        if inner := schema.get("anyOf") or schema.get("allOf"):
            return self.example(inner[0])
        return self.example(self._resolved(schema)) if "$ref" in schema else self._made_example(schema)

    def _made_example(self, schema: dict[str, Any]) -> Any:
        kind, fields = schema.get("type"), schema.get("properties", {})
        if choices := schema.get("enum"):
            return COMPLETED if COMPLETED in choices else choices[0]
        if kind == "object":
            shown = {*schema.get("required", ()), *(name for name, each in fields.items() if each.get("examples"))}
            return {name: self.example(each) for name, each in fields.items() if name in shown}
        if kind == "array":
            return [self.example(each) for each in schema.get("prefixItems") or [schema["items"]]]
        plain = {"string": EXAMPLES.get(schema.get("format", ""), "text"), "boolean": True, "null": None}
        return plain[kind] if kind in plain else schema.get("minimum", 1)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return found


def _limits(schema: dict[str, Any]) -> str:
    """Return the limits of a value: `, 1 to 4000 characters`, `, more than 0, at most 60`; of a list, `1 to 4 `."""
    if schema.get("type") == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        return f"{least} to {most} " if least and most else f"at most {most} " if most else ""
    least, most = schema.get("minLength"), schema.get("maxLength")
    found = [f"{least} to {most} characters" if least and most else f"at most {most} characters"] if most else []
    for name, words in (
        ("exclusiveMinimum", "more than"),
        ("minimum", "at least"),
        ("exclusiveMaximum", "less than"),
        ("maximum", "at most"),
    ):
        if name in schema:
            found.append(f"{words} {schema[name]:g}")
    return "".join(f", {each}" for each in found)
