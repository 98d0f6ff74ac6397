"""Shares of an ad with people without an account, and their reviews: the records, requests and responses."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.api import RequestBody
from adreel.models.record import Record
from adreel.models.scenarios import Scenario

DEFAULT_DAYS = 14
MAX_DAYS = 365


class Right(StrEnum):
    """A right of a guest on an ad; each share has at least `view`."""

    VIEW = "view"
    COMMENT = "comment"
    APPROVE = "approve"
    DOWNLOAD = "download"


DEFAULT_RIGHTS = (Right.VIEW, Right.COMMENT, Right.APPROVE)


class ReviewKind(StrEnum):
    """Kind of a review; `approval` and `change_request` are decisions."""

    COMMENT = "comment"
    APPROVAL = "approval"
    CHANGE_REQUEST = "change_request"

    @property
    def right(self) -> Right:
        """The right that a guest needs for it."""
        return Right.COMMENT if self is ReviewKind.COMMENT else Right.APPROVE


ShareState = Literal["open", "expired", "revoked"]


class Share(Record):
    """The record of a share. The secret of its link is stored as a hash alone."""

    session_id: str
    share_id: str
    secret_sha256: str
    rights: list[Right] = Field(min_length=1)
    label: str = ""
    created_at: AwareDatetime
    created_by: str = ""
    """Name of the key that it was made with."""
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None = None
    last_seen_at: AwareDatetime | None = None

    def state(self, now: datetime) -> ShareState:
        """Return whether its link works."""
        if self.revoked_at is not None:
            return "revoked"
        return "open" if now < self.expires_at else "expired"


class ReviewedFile(BaseModel, extra="allow"):
    """A file that a review is about: a finished ad by its format, or the clip of a scene."""

    name: str = Field(examples=["16:9"])
    file: str = Field(examples=["abc-123_cut_1f3a9c04_16x9.mp4"])
    sha256: str


class Review(Record):
    """The record of what a guest wrote or decided. It is never changed."""

    session_id: str
    review_id: str
    share_id: str
    created_at: AwareDatetime
    author: str
    kind: ReviewKind
    text: str = ""
    moment: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Seconds from the start of the ad, or of the clip of `scenario`."""
    scenario: Scenario | None = None
    files: list[ReviewedFile] = Field(min_length=1)


class ShareCreate(
    RequestBody, json_schema_extra={"examples": [{"rights": ["view", "comment"], "days": 7, "label": "Client"}]}
):
    """A link to an ad for a person without a key."""

    rights: list[Right] = Field(
        default_factory=lambda: list(DEFAULT_RIGHTS),
        max_length=len(Right),
        description="What the guest may do; `view` is always included, and `approve` allows to ask for changes too",
    )
    days: int = Field(DEFAULT_DAYS, ge=1, le=MAX_DAYS, description="Days until the link expires")
    label: str = Field("", max_length=100, description="For whom it is; guests do not see it")


class ShareView(BaseModel):
    """A share, without the secret of its link."""

    session_id: str
    share_id: str
    rights: list[Right]
    label: str
    created_at: AwareDatetime
    created_by: str = Field(description="Name of the key that it was made with")
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None
    last_seen_at: AwareDatetime | None = Field(description="When a guest opened the page, to about ten minutes")
    state: ShareState


class CreatedShare(ShareView):
    """A new share with its link, which is not shown again."""

    url: str = Field(description="Link for the guest; a path of this server without ADREEL_PUBLIC_URL")


class ShareList(BaseModel):
    """The shares of an ad, the newest first."""

    shares: list[ShareView]
    unreadable: list[str] = Field(default_factory=list, description="Errors of unreadable records")


class ReviewView(BaseModel):
    """A review; `stale` if the ad has changed since."""

    session_id: str
    review_id: str
    share_id: str
    created_at: AwareDatetime
    author: str = Field(description="Name that the guest gave; it is not verified")
    kind: ReviewKind
    text: str
    moment: float | None = Field(description="Seconds from the start of the ad, or of the clip of `scenario`")
    scenario: Scenario | None
    files: list[ReviewedFile]
    state: Literal["current", "stale"]


Decision = Literal["none", "approved", "changes_requested", "stale"]


class ReviewList(BaseModel):
    """The reviews of an ad, the newest first."""

    state: Decision = Field(description="The newest decision; `stale` if the ad has changed since it was made")
    scenes: dict[Scenario, Decision] = Field(
        default_factory=dict, description="The newest decision about each scene alone; `stale` if its clip has changed"
    )
    reviews: list[ReviewView]
    unreadable: list[str] = Field(default_factory=list, description="Errors of unreadable records")


def time_label(moment: float | None) -> str:
    """Return a moment as minutes and seconds, such as 0:06 or 1:02.5; empty for none."""
    if moment is None:
        return ""
    tenths = round(moment * 10)
    fraction = f".{tenths % 10}" if tenths % 10 else ""
    return f"{tenths // 600}:{tenths // 10 % 60:02}{fraction}"
