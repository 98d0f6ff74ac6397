"""Each operation of the HTTP API, described once for both clients."""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, cast, get_args, get_type_hints, overload
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from adreel.client.steps import MAX_TRIES, ApiError, Request, Result, Steps, send
from adreel.models.api import (
    SessionDetails,
    SessionPage,
    State,
    StoredInput,
    TakeList,
    TakeView,
    VideoGenerationResponse,
    VideoRegenerateResponse,
    VideoStatusResponse,
)
from adreel.models.campaigns import CampaignList, CampaignPage, CampaignStarted
from adreel.models.cuts import CutList, VideoCutResponse
from adreel.models.model_views import ModelList, VoiceList
from adreel.models.parts import Part
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.shares import DEFAULT_DAYS, DEFAULT_RIGHTS, CreatedShare, ReviewList, ShareList, ShareView
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import SpendReport

if TYPE_CHECKING:
    from adreel.client.clients import AsyncClient, Client

Parameters = ParamSpec("Parameters")
AnyScenario = Scenario | str
AnyPart = Part | str


class Operation(Generic[Parameters, Result]):
    """A method of both clients: `Client` returns its result, `AsyncClient` a coroutine."""

    def __init__(self, steps: Callable[Concatenate[Any, Parameters], Steps[Result]], route: str = "") -> None:
        self.steps, self.route = steps, route
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> "Operation[Parameters, Result]": ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[Parameters, Result]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[Parameters, Coroutine[Any, Any, Result]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        @wraps(self.steps)
        def call(*args: Any, **kwargs: Any) -> Any:
            return client._run(self.steps(client, *args, **kwargs))

        return call


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One call of an operation that returns a Result: the values of its path, and what it sends."""

    path: dict[str, str] = field(default_factory=dict)
    json: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    content: bytes | None = None


def operation(
    route: str, *, max_tries: int = MAX_TRIES
) -> Callable[[Callable[Concatenate[Any, Parameters], Call[Result]]], Operation[Parameters, Result]]:
    """Make an operation of a function that describes its calls. `route` is its method and path."""
    method, template = route.split()

    def decorate(describe: Callable[Concatenate[Any, Parameters], Call[Result]]) -> Operation[Parameters, Result]:
        [answer] = get_args(get_type_hints(describe)["return"])

        @wraps(describe)
        def steps(client: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Steps[Result]:
            call = describe(client, *args, **kwargs)
            path = template.format(**{name: quote(value, safe="") for name, value in call.path.items()})
            request = Request(method, path, call.json, call.params, call.headers, call.timeout, content=call.content)
            response = yield from send(request, max_tries)
            if not issubclass(answer, BaseModel):
                return cast(Result, {str: response.text, bytes: response.content}.get(answer))
            try:
                return cast(Result, answer.model_validate_json(response.content))
            except ValidationError as error:
                raise ApiError(f"{path}: not a response of adreel: {error}", response.status_code) from None

        return Operation(steps, route)

    return decorate


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or str(uuid4())}


def _limits(max_cost: float | None, clip_price: float | None) -> dict[str, float]:
    given = {"max_cost": max_cost, "clip_price": clip_price}
    return {name: usd for name, usd in given.items() if usd is not None}


def _scene(session_id: str, scenario: AnyPart) -> dict[str, str]:
    return {"session_id": session_id, "scenario": str(scenario)}


class Operations:
    """The operations. Errors are ApiErrors."""

    @operation("POST /api/videos/generate-scenes")
    def generate(
        self,
        session_id: str,
        scenarios: Sequence[Part] | None = None,
        *,
        only_changed: bool = False,
        max_cost: float | None = None,
        clip_price: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[VideoGenerationResponse]:
        """Start a job for a stored session: all that it asks for, or some parts, for at most `max_cost` USD.

        With `only_changed`, what is bought already as it is described now is left out.
        """
        chosen: dict[str, Any] = {"scenarios": [str(part) for part in scenarios]} if scenarios else {}
        chosen |= {"only_changed": True} if only_changed else {}
        return Call(
            json={"session_id": session_id, **chosen, **_limits(max_cost, clip_price)}, headers=_key(idempotency_key)
        )

    @operation("GET /api/videos/status/{job_id}")
    def status(self, job_id: str) -> Call[VideoStatusResponse]:
        """Return the states and the progress of a job."""
        return Call({"job_id": job_id})

    @Operation
    def wait(self, job_id: str, *, timeout: float | None = None, every: float = 5) -> Steps[VideoStatusResponse]:
        """Return the status of a job once it has ended. TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            status = yield from Operations.status.steps(self, job_id)
            if status.overall_status != State.GENERATING:
                return status
            left = every if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"job {job_id} is still generating")
            yield min(every, left)

    @operation("POST /api/videos/regenerate-scene")
    def regenerate(
        self,
        /,
        session_id: str,
        scenario: AnyPart,
        *,
        max_cost: float | None = None,
        clip_price: float | None = None,
        wait: bool = False,
        wait_seconds: float = 600,
        idempotency_key: str | None = None,
        **changes: Any,
    ) -> Call[VideoRegenerateResponse]:
        """Buy a new take of one scene. `changes` are fields of its description, `wait` returns once it has ended."""
        return Call(
            json={**_scene(session_id, scenario), **_limits(max_cost, clip_price), **changes},
            params={"wait": "true", "wait_seconds": wait_seconds} if wait else {},
            headers=_key(idempotency_key),
            timeout=wait_seconds + 30 if wait else None,
        )

    @operation("POST /api/videos/cut")
    def cut(
        self,
        session_id: str,
        formats: Sequence[str] = (),
        *,
        preset: str | None = None,
        captions: bool = True,
        allow_missing: bool = False,
        idempotency_key: str | None = None,
    ) -> Call[VideoCutResponse]:
        """Make the finished ad of a session; `job_id` is None if it is made already."""
        options = {"formats": list(formats), "captions": captions, "allow_missing": allow_missing}
        return Call(
            json={"session_id": session_id, **options, **({"preset": preset} if preset else {})},
            headers=_key(idempotency_key),
        )

    @operation("GET /api/sessions/{session_id}/cuts")
    def cuts(self, session_id: str) -> Call[CutList]:
        """Return the finished ads of a session, the newest first."""
        return Call({"session_id": session_id})

    @operation("POST /api/videos/resume/{job_id}")
    def resume(
        self,
        job_id: str,
        *,
        max_cost: float | None = None,
        clip_price: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[VideoGenerationResponse]:
        """Resume a job; `max_cost` USD replaces its limit. The `job_id` of the answer has the same scenes."""
        limits = _limits(max_cost, clip_price)
        return Call({"job_id": job_id}, json=limits or None, headers=_key(idempotency_key))

    @operation("POST /api/videos/cancel/{job_id}")
    def cancel(self, job_id: str) -> Call[VideoGenerationResponse]:
        """Cancel a job: nothing more is bought. A resume downloads the accepted clips."""
        return Call({"job_id": job_id})

    @operation("GET /api/models")
    def models(
        self,
        *,
        first_frame: bool = False,
        last_frame: bool = False,
        references: bool = False,
        sound: bool | None = None,
        aspect: str | None = None,
        max_price: float | None = None,
    ) -> Call[ModelList]:
        """Return the models that offer what is asked for, the cheapest first."""
        asked = {
            "first_frame": first_frame,
            "last_frame": last_frame,
            "references": references,
            "sound": sound,
            "aspect": aspect,
            "max_price": max_price,
        }
        return Call(params={name: value for name, value in asked.items() if value is not None})

    @operation("GET /api/voices")
    def voices(self, *, language: str | None = None, model: str | None = None) -> Call[VoiceList]:
        """Return the models of narrations with their voices, and those of music, the cheapest first."""
        asked = {"language": language, "model": model}
        return Call(params={name: value for name, value in asked.items() if value is not None})

    @operation("POST /api/sessions")
    def create_session(
        self, session: Session | dict[str, Any], *, idempotency_key: str | None = None
    ) -> Call[SessionDetails]:
        """Store a new session. Nothing is bought."""
        body = session.model_dump(mode="json", exclude_unset=True) if isinstance(session, Session) else session
        return Call(json=body, headers=_key(idempotency_key))

    @operation("GET /api/sessions")
    def sessions(
        self,
        *,
        q: str = "",
        state: str | None = None,
        campaign: str | None = None,
        since: datetime | None = None,
        sort: str = "-created",
        limit: int = 20,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[SessionPage]:
        """Return a page of the sessions, the newest first; its `next` is the `after` of the next page."""
        since_text = since.isoformat() if since else None
        given = {"q": q, "state": state, "campaign": campaign, "since": since_text, "after": after, "before": before}
        return Call(params={"sort": sort, "limit": limit, **{name: value for name, value in given.items() if value}})

    @operation("POST /api/sessions/{session_id}/archive")
    def archive(self, session_id: str) -> Call[SessionDetails]:
        """Take a session out of the lists, except those of the state `archived`. Nothing is bought for it then."""
        return Call({"session_id": session_id})

    @operation("POST /api/sessions/{session_id}/restore")
    def restore(self, session_id: str) -> Call[SessionDetails]:
        """Bring an archived session back into the lists."""
        return Call({"session_id": session_id})

    @operation("DELETE /api/sessions/{session_id}")
    def delete_session(self, session_id: str) -> Call[None]:
        """Delete a session for which no clip was ever ordered."""
        return Call({"session_id": session_id})

    @operation("GET /api/campaigns")
    def campaigns(self, *, limit: int = 20, after: str | None = None) -> Call[CampaignList]:
        """Return a page of the campaigns, the last one that was started first."""
        return Call(params={"limit": limit, **({"after": after} if after else {})})

    @operation("POST /api/campaigns")
    def start_campaign(
        self,
        name: str,
        products: list[dict[str, Any]],
        variants: list[dict[str, Any]],
        *,
        max_cost: float | None = None,
        clip_price: float | None = None,
        idempotency_key: str | None = None,
    ) -> Call[CampaignStarted]:
        """Start a campaign: buy an ad of each product in each variant, once."""
        body = {"name": name, "products": products, "variants": variants, **_limits(max_cost, clip_price)}
        return Call(json=body, headers=_key(idempotency_key))

    @operation("POST /api/campaigns/{name}/resume")
    def resume_campaign(self, name: str, *, idempotency_key: str | None = None) -> Call[CampaignStarted]:
        """Continue a campaign that has stopped."""
        return Call({"name": name}, headers=_key(idempotency_key))

    @operation("GET /api/campaigns/{name}")
    def campaign(
        self, name: str, *, state: State | str | None = None, limit: int = 20, after: str | None = None
    ) -> Call[CampaignPage]:
        """Return the progress and the cost of a campaign, and a page of its ads: failed ones first."""
        given = {"state": str(state) if state else None, "after": after}
        return Call({"name": name}, params={"limit": limit, **{name: value for name, value in given.items() if value}})

    @operation("GET /api/spend")
    def spend(
        self, by: Group | str = Group.CAMPAIGN, *, since: date | None = None, until: date | None = None
    ) -> Call[SpendReport]:
        """Return what was spent by campaign, session, day, model or scene, in a period of UTC days."""
        period = {"since": since, "until": until}
        return Call(params={"by": str(by), **{name: day.isoformat() for name, day in period.items() if day}})

    @operation("GET /api/sessions/{session_id}")
    def session(self, session_id: str) -> Call[SessionDetails]:
        """Return a session with its current clips, states and cost."""
        return Call({"session_id": session_id})

    @operation("PATCH /api/sessions/{session_id}")
    def change_session(self, /, session_id: str, **changes: Any) -> Call[SessionDetails]:
        """Change what the scenes of a session have in common, such as `aspect`. None removes a field."""
        return Call({"session_id": session_id}, json=changes)

    @operation("PATCH /api/sessions/{session_id}/scenes/{scenario}")
    def change_scene(self, /, session_id: str, scenario: AnyScenario, **changes: Any) -> Call[SessionDetails]:
        """Change the description of a scene for later jobs. None removes an optional field."""
        return Call(_scene(session_id, scenario), json=changes)

    @operation("POST /api/sessions/{session_id}/inputs")
    def add_input(self, session_id: str, image: Path | bytes, *, name: str = "image") -> Call[StoredInput]:
        """Store a PNG, JPEG or WebP file as an input of a session; its `input` is the value for `first_frame`."""
        if isinstance(image, Path):
            name, image = image.name, image.read_bytes()
        kind = {"Content-Type": "application/octet-stream"}
        return Call({"session_id": session_id}, params={"name": name}, headers=kind, content=image)

    @operation("GET /api/sessions/{session_id}/inputs/{file}")
    def read_input(self, session_id: str, image: str) -> Call[bytes]:
        """Return the bytes of an input, by the `input` or the `url` of its upload."""
        return Call({"session_id": session_id, "file": image.partition("#")[0].rpartition("/")[2]})

    @operation("GET /api/sessions/{session_id}/scenes/{scenario}/takes")
    def takes(self, session_id: str, scenario: AnyPart) -> Call[TakeList]:
        """Return the takes of a scene from old to new."""
        return Call(_scene(session_id, scenario))

    @operation("PUT /api/sessions/{session_id}/scenes/{scenario}/current")
    def choose_take(self, session_id: str, scenario: AnyPart, take: str) -> Call[TakeView]:
        """Make a stored take the current one of its scene."""
        return Call(_scene(session_id, scenario), json={"take": take})

    # A repeated request would make a second link.
    @operation("POST /api/sessions/{session_id}/shares", max_tries=1)
    def create_share(
        self, session_id: str, rights: Sequence[str] = DEFAULT_RIGHTS, *, days: int = DEFAULT_DAYS, label: str = ""
    ) -> Call[CreatedShare]:
        """Make a link to an ad for a person without a key; its `url` is in this result alone."""
        return Call({"session_id": session_id}, json={"rights": list(rights), "days": days, "label": label})

    @operation("GET /api/sessions/{session_id}/shares")
    def shares(self, session_id: str) -> Call[ShareList]:
        """Return the shares of an ad, the newest first."""
        return Call({"session_id": session_id})

    @operation("DELETE /api/sessions/{session_id}/shares/{share_id}")
    def revoke_share(self, session_id: str, share_id: str) -> Call[ShareView]:
        """End a share for good."""
        return Call({"session_id": session_id, "share_id": share_id})

    @operation("GET /api/sessions/{session_id}/reviews")
    def reviews(self, session_id: str) -> Call[ReviewList]:
        """Return what the guests of an ad have said, the newest first."""
        return Call({"session_id": session_id})

    @operation("GET /healthz", max_tries=1)
    def check_health(self) -> Call[None]:
        """Return if the server can serve, else raise ApiError."""
        return Call()

    @operation("GET /readyz", max_tries=1)
    def check_readiness(self) -> Call[None]:
        """Return if the storage and Prefect answer, else raise ApiError with the reason."""
        return Call()

    @operation("GET /metrics", max_tries=1)
    def metrics(self) -> Call[str]:
        """Return the metrics as text for Prometheus."""
        return Call()

    def _download(self, video_url: str, target: Path) -> Steps[Path]:
        """Download a clip, a poster or a file that was kept aside. `target` appears once it is complete."""
        return (yield from _save(f"/outputs/{quote(video_url.rpartition('/')[2])}", {}, target))

    def _download_clips(self, session_id: str, target: Path, *, allow_missing: bool = False) -> Steps[Path]:
        """Download the current clips of a session as one ZIP file. `target` appears once it is complete."""
        params = {"allow_missing": "true"} if allow_missing else {}
        return (yield from _save(f"/api/sessions/{quote(session_id, safe='')}/clips.zip", params, target))

    download = Operation(_download, "GET /outputs/{file}")
    download_clips = Operation(_download_clips, "GET /api/sessions/{session_id}/clips.zip")


def _save(path: str, params: dict[str, Any], target: Path) -> Steps[Path]:
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield from send(Request("GET", path, params=params, file=file))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
