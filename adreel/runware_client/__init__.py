"""The Runware client: the SDK connects, authenticates and submits; the polling is ours, on the SDK's socket."""

from adreel.runware_client.client import RunwareClient, Timing
from adreel.runware_client.replies import Rendered, Underway
from adreel.runware_client.shared import shared_client

__all__ = ["Rendered", "RunwareClient", "Timing", "Underway", "shared_client"]
