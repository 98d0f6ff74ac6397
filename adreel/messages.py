"""What other systems send and get: the requests, the answers, and the views of a scene."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from adreel.scenarios import Scenario
from adreel.sessions import Identifier, SceneChanges


class State(StrEnum):
    """What a scene, a job or a session is in; `partial` is for jobs and sessions only."""

    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"


class SceneVideo(BaseModel):
    """The current clip of a scene, as people and pages need it."""

    scenario: Scenario
    video_url: str | None = None
    duration: float | None = Field(None, description="Seconds, as measured in the stored clip")
    status: State
    created_at: datetime
    cost: float | None = Field(None, description="USD as reported by the provider; null is unknown")
    seed: int | None = None
    poster_url: str | None = None
    take: str = Field(description="The job that bought it")


class VideoGenerationRequest(BaseModel):
    """Start a job for a stored session."""

    session_id: Identifier
    scenarios: list[Scenario] | None = Field(None, description="A subset; all four if missing")


class VideoRegenerateRequest(SceneChanges):
    """Buy a new take of one scene, perhaps with some fields of its description changed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    session_id: Identifier
    scenario: Scenario


class VideoGenerationResponse(BaseModel):
    """A job was started."""

    success: bool
    message: str
    job_id: str


class VideoSceneStatus(BaseModel):
    """One scene of a job."""

    scenario: Scenario
    status: State
    progress: int = Field(ge=0, le=100)
    video_url: str | None = None
    error: str | None = None


class VideoStatusResponse(BaseModel):
    """A job and its scenes, derived from the take records alone."""

    job_id: str
    overall_status: State
    scenes: list[VideoSceneStatus]
