"""How records of older schema versions get today's shape: on reading, one version after the other.

What lies in storage stays as it was written, until its owner writes it for a reason of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]
Migration = Mapping[str, Callable[[Fields], Fields]]

MIGRATIONS: tuple[Migration, ...] = ()
"""The first leads from version 1 to 2: kind of record (session, job, take, choices) -> pure function of its fields.

A kind that is left out keeps its shape. A field that is only added, with a default, takes no new version.
"""

SCHEMA_VERSION = 1


class NewerRecord(ValueError):
    """Its schema version is not known here yet."""


def migrate(kind: str, record: Fields) -> Fields:
    """Return a record of a known version in today's shape; ValueError, or NewerRecord, says why it can't be."""
    version = record.get("schema_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"its schema_version is {version!r}")
    if version > SCHEMA_VERSION:
        raise NewerRecord(f"schema {version}")
    try:
        for step in MIGRATIONS[version - 1 :]:
            record = step[kind](record) if kind in step else record
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"it has another shape than schema {version}: {error!r}") from error
    return {**record, "schema_version": SCHEMA_VERSION}
