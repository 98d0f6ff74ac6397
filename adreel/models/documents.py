"""Strict reading of YAML, JSON and JSON Lines, shared by session files, campaigns and forms.

Values that YAML would silently change are refused with their line: implicit numbers, booleans, dates and comments,
duplicate keys, incomplete characters. Documents that would exhaust memory or time are refused as well.
"""

import codecs
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from adreel.errors import InputError
from adreel.models.scenarios import field_place
from adreel.text import closest, control_character

MAX_BYTES = 16 * 1024 * 1024
"""Maximum bytes of a document, and maximum characters after the expansion of YAML aliases."""
MAX_LINE_BYTES = 1024 * 1024
MOST_NAMES = 10_000
"""Files of a folder that are compared with a mistyped name."""
MAX_DEPTH = 32
"""Maximum depth of nested lists and mappings."""
SIZE_ADVICE = "give WIDTHxHEIGHT, such as 1280x720, or set `aspect` instead"

_TAG = "tag:yaml.org,2002:"
_READ = {"str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge"}
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)")
_DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?")
_ASPECT = re.compile(r"\d{1,2}:\d{1,2}")
_COMMENT = re.compile(r"[ \t]+(#\w[^\r\n]*)")
_COMMENT_IN_LIST = re.compile(r"[\[,][ \t]*#\w")
_JSON_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(:?)|[{}\[\]]')
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# The C parser is ten times as fast, but not every build of PyYAML has it.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: Path, what: str = "file") -> bytes:
    """Read a local file, or a pipe that the shell opened; InputError if that fails."""
    try:
        # Without O_NONBLOCK, open() waits for the writer of a named pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            is_shell_pipe = stat.S_ISFIFO(mode) and os.path.realpath(path).startswith("/proc/")
            if not (stat.S_ISREG(mode) or is_shell_pipe):
                raise InputError(f"can't read the {what} {path}: it is not a regular file")
            os.set_blocking(stream.fileno(), True)
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        similar = _similar_file(path) if isinstance(error, FileNotFoundError) else ""
        meant = f": did you mean {path.with_name(similar)}?" if similar else ""
        raise InputError(f"can't read the {what} {path}: {reason}{meant}") from None
    return content


def _similar_file(path: Path) -> str:
    try:
        return closest(path.name, (each.name for each in islice(path.parent.iterdir(), MOST_NAMES) if each.is_file()))
    except OSError:
        return ""


def read_document(content: bytes | str, name: str) -> Any:
    """Parse a YAML or JSON document; InputError names the document, the line and the remedy."""
    text = _decoded(content, name)
    if name.lower().endswith(".json"):
        return read_json(text, name)
    if text.lstrip()[:1] in {"{", "["}:
        # JSON is parsed as JSON under any name: YAML rejects its tabs and reads its escapes differently.
        with suppress(ValueError, RecursionError):
            json.loads(text)
            return read_json(text, name)
    return _read_yaml(text, name)


def read_json(content: bytes | str, name: str) -> Any:
    """Parse a JSON document; InputError names the document and the line."""
    text = _decoded(content, name)

    def refuse_constant(word: str) -> None:
        raise ValueError(f"{word} is not a number")

    try:
        data, duplicate = _load_json(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        advice = "; name a YAML file .yaml" if error.pos == 0 and text else ""
        raise InputError(f"{name} is not valid JSON: {place}: {error.msg}{advice}") from None
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise InputError(f"{name} is not valid JSON: {error}") from None
    if duplicate:
        key, line = duplicate
        place = f"{name}, line {line}" if "\n" in text else name
        raise InputError(f"{place}: {key} appears twice: keep one of them")
    check_texts(data, name)
    return data


def find_line(content: bytes | str, steps: Sequence[str | int]) -> int | None:
    """Return the line of a field in a YAML or JSON document, else that of the part that should have it.

    None if no part of the document has it.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        # A document on one line says no more by its number.
        node = yaml.compose(text, Loader=_Loader) if "\n" in text.strip() else None
    except (ValueError, RecursionError, yaml.YAMLError):
        # JSON may have tabs.
        return None
    line = None
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == step), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def duplicate_key(text: str) -> str | None:
    """Return the first key that a mapping of a JSON text has twice, if any; ValueError for invalid JSON."""
    _, duplicate = _load_json(text)
    return duplicate[0] if duplicate else None


def _load_json(text: str, parse_constant: Callable[[str], Any] | None = None) -> tuple[Any, tuple[str, int] | None]:
    """Parse JSON; return the data, and the first duplicate key with the line of its second occurrence."""
    has_duplicate = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicate
        found = dict(pairs)
        has_duplicate |= len(found) != len(pairs)
        return found

    data = json.loads(text, object_pairs_hook=mapping, parse_constant=parse_constant)
    open_keys: list[set[str]] = []
    for token in _JSON_TOKEN.finditer(text) if has_duplicate else ():
        if token[0] in {"{", "["}:
            open_keys.append(set())
        elif token[0] in {"}", "]"}:
            open_keys.pop()
        elif token[2]:
            key = json.loads(f'"{token[1]}"')
            if key in open_keys[-1]:
                return data, (key, text.count("\n", 0, token.start()) + 1)
            open_keys[-1].add(key)
    return data, None


def read_lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the mapping of each line of a JSON Lines file."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        place = f"{name}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{place} is longer than {MAX_LINE_BYTES // 1024**2} MB: {_json_lines_advice(name)}")
        text = _decoded(line, place).strip()
        if not text:
            continue
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else error
            raise InputError(f"{place} is not valid JSON: {reason}; {_json_lines_advice(name)}") from None
        if not isinstance(data, dict):
            raise InputError(f"{place} is not a mapping: {_json_lines_advice(name)}")
        yield place, read_json(text, place)


def check_texts(data: Any, name: str = "") -> None:
    """Refuse texts that can't be stored or sent, and nesting that other parsers can't read."""
    prefix = f"{name}: " if name else ""
    seen: set[int] = set()
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(data, ())]
    while waiting:
        value, steps = waiting.pop()
        if len(steps) > MAX_DEPTH:
            raise _too_deep(name)
        if isinstance(value, str):
            if character := control_character(value):
                place = field_place(steps, data) or "it"
                raise InputError(f"{prefix}{place} has the control character {character}: remove it")
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            for key, each in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(key, str) and (character := control_character(key)):
                    raise InputError(f"{prefix}a key has the control character {character}: remove it")
                waiting.append((each, (*steps, key)))


def _json_lines_advice(name: str) -> str:
    return (
        "JSON Lines have one whole {...} on each line and no comma behind it;"
        f" `jq -c .` makes them of pretty-printed JSON, `jq -c '.[]' {name}` of a list"
    )


def _decoded(content: bytes | str, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES // 1024**2} MB: divide it, or use JSON Lines (.jsonl)")
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    if content.startswith(_UTF_16) or b"\0" in content:
        raise InputError(f"{name} is not UTF-8 text; it looks like UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"line {line} has the byte 0x{content[error.start]:02x}"
        raise InputError(f"{name} is not UTF-8 text: {found}; save it as UTF-8") from None


def _too_deep(name: str) -> InputError:
    return InputError(f"{name} is nested too deeply: more than {MAX_DEPTH} levels of lists and mappings in each other")


def _read_yaml(text: str, name: str) -> Any:
    try:
        _check_size(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_nodes(node, text, name)
            data = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = " ".join(part for part in (error.context, error.problem) if part)
        advice = "; indent with spaces, not with tabs" if mark and text[mark.index : mark.index + 1] == "\t" else ""
        if _COMMENT_IN_LIST.search(text):
            advice = "; a # begins a comment: put colours in quotes"
        raise InputError(f"{name} is not valid YAML: {place}{reason}{advice}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from None
    check_texts(data, name)
    return data


def _check_size(text: str, name: str) -> None:
    """Refuse a document whose expanded aliases are too large, before it is constructed."""
    sizes: dict[str, int] = {}
    open_collections: list[tuple[str | None, int]] = []
    size = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_collections):
                raise InputError(f"{name}, line {line}: *{event.anchor} contains itself")
            size += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            size += 1 + len(event.value)
            if event.anchor:
                sizes[event.anchor] = 1 + len(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((event.anchor, size))
            size += 1
            if len(open_collections) > MAX_DEPTH:
                raise _too_deep(name)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_collections.pop()
            if anchor:
                sizes[anchor] = size - before
        if size > MAX_BYTES:
            raise InputError(f"{name}, line {line}: larger than {MAX_BYTES >> 20} MB with its aliases expanded")


def _check_nodes(root: yaml.Node, text: str, name: str) -> None:
    """Refuse duplicate keys, and plain words that YAML reads as another type."""
    seen: set[int] = set()
    waiting: list[tuple[yaml.Node, str]] = [(root, "")]
    while waiting:
        node, field = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        place = f"{name}, line {node.start_mark.line + 1}: {field and f'{field}: '}"
        if node.tag.removeprefix(_TAG) not in _READ:
            raise InputError(f"{place}{node.tag.replace(_TAG, '!!')} is not supported: put plain text in quotes")
        if isinstance(node, yaml.ScalarNode):
            if field == "aspect" and _ASPECT.fullmatch(node.value):
                # YAML reads 9:16 as the number 556. An aspect can't be anything else, so it needs no quotes.
                node.tag = f"{_TAG}str"
            found = _misreading(node)
            if found and field == "size" and ":" in node.value:
                raise InputError(f"{place}{node.value} is an aspect ratio, and YAML reads it as {found}: {SIZE_ADVICE}")
            if found:
                raise InputError(f"{place}YAML reads {node.value} as {found}: put it in quotes")
            if not node.style and (comment := _COMMENT.match(text, node.end_mark.index)):
                raise InputError(
                    f"{place}YAML reads {comment[1].strip()} as a comment: put the value in quotes, or a blank behind"
                    " the #"
                )
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(each, field) for each in node.value]
        elif isinstance(node, yaml.MappingNode):
            _check_keys(node, name)
            waiting += [(value, key.value) for key, value in node.value]


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    keys: set[str] = set()
    for key, _ in node.value:
        place = f"{name}, line {key.start_mark.line + 1}: "
        if isinstance(key, yaml.ScalarNode) and (found := _misreading(key)):
            raise InputError(f"{place}YAML reads {key.value} as {found}: put it in quotes")
        if key.tag not in {f"{_TAG}str", f"{_TAG}merge"}:
            shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise InputError(f"{place}{shown or 'nothing'} is not a field name: field names are text")
        if key.tag == f"{_TAG}str" and key.value in keys:
            raise InputError(f"{place}{key.value} appears twice: keep one of them")
        keys.add(key.value)


def _misreading(node: yaml.ScalarNode) -> str:
    """Return the value that YAML reads from a misleading word; empty if the word is unambiguous."""
    kind, word = node.tag.removeprefix(_TAG), node.value
    if kind == "int" and not _WHOLE_NUMBER.fullmatch(word):
        return f"the number {_constructor.construct_yaml_int(node)}"
    if kind == "float" and not _DECIMAL.fullmatch(word):
        number = _constructor.construct_yaml_float(node)
        return f"the number {number:g}" if math.isfinite(number) else "no finite number"
    if kind == "bool" and word.lower() not in {"true", "false"}:
        return "true" if _constructor.construct_yaml_bool(node) else "false"
    if kind == "timestamp":
        return "a date"
    return ""


_constructor = yaml.constructor.SafeConstructor()
