"""Campaigns as lists show them."""

from datetime import datetime

from pydantic import BaseModel, Field

from adreel.models.api import State


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
