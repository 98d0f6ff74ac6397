"""Runware client: the SDK connects, authenticates and submits; polls and look-ups use its socket directly."""

from adreel.runware.client import RunwareClient, Timing
from adreel.runware.replies import InProgress, Rendered

__all__ = ["InProgress", "Rendered", "RunwareClient", "Timing"]
