"""The use cases, which the HTTP API and the storyboard call through `Service`."""

from adreel.service.campaigns import CampaignService
from adreel.service.jobs import HOLD, Service, reason_of
from adreel.service.orders import store_for_generation
from adreel.service.sessions import IDEMPOTENCY_KEY

__all__ = ["HOLD", "IDEMPOTENCY_KEY", "CampaignService", "Service", "reason_of", "store_for_generation"]
