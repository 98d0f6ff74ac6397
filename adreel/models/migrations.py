"""Migrations of records from older schema versions, applied one after the other when a record is read.

The stored record stays unchanged until it is next written.
"""

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]
Migration = Mapping[str, Callable[[Fields], Fields]]

MIGRATIONS: tuple[Migration, ...] = (
    # Since 2, the width, height and duration of a request can be null. Earlier versions of adreel can't read that.
    {},
)
"""Steps from each version to the next, beginning with 1 to 2: kind of record -> pure function of its fields.

Kinds are session, job, take, choices, cut, share, review, campaign and budgets. A kind without a function is unchanged.
A new field with a default needs no new version.
"""

SCHEMA_VERSION = 2


class NewerRecord(ValueError):
    """The schema version is newer than this adreel."""


def migrate(kind: str, record: Fields) -> Fields:
    """Return a record in the current schema; NewerRecord or another ValueError if that is impossible."""
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
