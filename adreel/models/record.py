"""Base of all stored records."""

from pydantic import BaseModel

from adreel.models.migrations import SCHEMA_VERSION


class Record(BaseModel, extra="allow"):
    """Base of all stored records; unknown fields survive a rewrite."""

    schema_version: int = SCHEMA_VERSION
