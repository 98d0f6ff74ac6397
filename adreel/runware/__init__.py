"""The Runware client: the SDK connects, authenticates and submits; the polling is ours, on the SDK's socket."""

from adreel.runware.client import RunwareClient, Timing
from adreel.runware.replies import InProgress, Rendered

__all__ = ["InProgress", "Rendered", "RunwareClient", "Timing"]
