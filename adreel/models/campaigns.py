"""Campaigns: as lists show them, as they are started over HTTP, and the record of one that was."""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.api import ClipPrice, MaxCost, RequestBody, State
from adreel.models.record import Record
from adreel.models.sessions import Identifier

MAX_ADS = 10_000
"""Maximum number of ads of a campaign that is started over HTTP: a check takes about a millisecond for each."""


class CampaignSummary(BaseModel):
    """A campaign: how many of its ads are in each state, and what they have cost. Pruned takes are left out."""

    name: str = Field(examples=["spring"])
    ads: int = Field(description="Number of ads that were started")
    states: dict[State, int] = Field(description="Number of ads by state", examples=[{"completed": 98, "failed": 2}])
    estimated: float = Field(description="USD that the sent clips were expected to cost")
    billed: float = Field(description="USD of the known bills")
    unknown_bills: int = Field(description="Number of takes with a bill that is not known, or not known yet")
    started_at: datetime
    updated_at: datetime


class CampaignList(BaseModel):
    """Some of the campaigns."""

    campaigns: list[CampaignSummary]
    next: str | None = Field(description="Send it as `after`; null on the last page")
    total: int = Field(description="Number of campaigns on all pages")
    notice: str | None = Field(None, description="Why campaigns may be missing: the index is being built")


class CampaignAd(BaseModel):
    """An ad of a campaign."""

    session_id: str
    product_name: str
    state: State
    variant: str = Field("", description="Its variant, if the campaign has products and variants")
    billed: float = Field(description="USD of the known bills of this campaign's takes")
    unknown_bills: int = Field(0, description="Number of takes with a bill that is not known, or not known yet")
    error: str | None = Field(None, description="Why its first scene without a clip has none")
    poster_url: str | None = Field(None, description="Poster of the ad's first current clip")
    updated_at: datetime


class CampaignPage(BaseModel):
    """A campaign and some of its ads: failed ones first, then partial, cancelled, generating and completed ones."""

    campaign: CampaignSummary
    ads: list[CampaignAd]
    next: str | None = Field(description="Send it as `after`; null on the last page")
    notice: str | None = Field(None, description="Why ads may be missing: the index is being built")


class CampaignProduct(BaseModel):
    """The ads of a product, by variant."""

    product: str
    ads: dict[str, CampaignAd]


class CampaignGrid(BaseModel):
    """A campaign of products and variants, and some of its products."""

    campaign: CampaignSummary
    variants: list[str]
    products: list[CampaignProduct]
    next: str | None
    notice: str | None = None


class CampaignCreate(
    RequestBody,
    json_schema_extra={
        "examples": [
            {
                "name": "spring",
                "products": [{"session_id": "glowcap", "product_name": "GlowCap"}],
                "variants": [
                    {
                        "variant": "bedtime",
                        "scene_descriptions": [
                            {"scenario": "hook", "visual_description": "A dark bedroom, one sleeper"},
                            {"scenario": "problem", "visual_description": "A lamp wakes the sleeper"},
                            {"scenario": "solution", "visual_description": "{product_name} lights the page alone"},
                            {"scenario": "cta", "visual_description": "{product_name} on a pillow"},
                        ],
                    }
                ],
                "max_cost": 10,
            }
        ]
    },
):
    """An ad of each product in each variant."""

    name: Identifier = Field(description="Separates this campaign from others of the same products")
    products: list[dict[str, Any]] = Field(
        min_length=1, description="Facts of a session without its scenes; `session_id` is the id of the product"
    )
    variants: list[dict[str, Any]] = Field(
        min_length=1,
        description="`variant` is its id; `scene_descriptions` and facts that override those of a product. In texts,"
        " `{main_benefit}` is replaced by that fact",
    )
    max_cost: MaxCost = Field(None, description="A campaign whose clips cost more USD by their prices is not started")
    clip_price: ClipPrice = None


class CampaignStarted(BaseModel):
    """The run that makes the ads of a campaign."""

    success: bool
    message: str
    name: str
    ads: int = Field(description="Number of ads of the campaign")
    job_id: str = Field(description="Id of the run, by which it is cancelled")


class Campaign(Record):
    """The record of a campaign that was started over HTTP. The flow reads its products and variants from it."""

    name: str
    products: list[dict[str, Any]]
    variants: list[dict[str, Any]]
    created_at: AwareDatetime
    created_by: str = ""
    """Name of the key that it was made with."""
    clip_price: int | None = None
    """Price of clips whose price is unknown, in micro-dollars."""
    run_id: str | None = None
    """The run that was started last."""

    @property
    def ads(self) -> int:
        """Number of ads."""
        return len(self.products) * len(self.variants)
