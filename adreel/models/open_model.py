"""Base of models that people write."""

from pydantic import BaseModel


class OpenModel(BaseModel, extra="allow", str_strip_whitespace=True, json_schema_extra={"additionalProperties": False}):
    """Base of models that people write. New data refuses unknown fields (parse_session).

    Stored data keeps them: a newer adreel may have written them.
    """
