"""Starts flow runs through Prefect's API: in this process, or as runs of a deployment for a worker.

Either way the run has its id before it begins.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import Artifact, FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, Pending

from adreel.errors import InputError
from adreel.orchestration.client import RenewingClient, sync_client
from adreel.orchestration.embedded_server import is_embedded
from adreel.orchestration.errors import check_server, is_missing, prefect_errors

REQUEST_TIMEOUT = 10.0
"""Seconds for one request to Prefect, including the retries of its client."""


@dataclass(frozen=True)
class Run:
    """The state and parameters of a flow run."""

    run_id: str
    parameters: dict[str, Any]
    labels: dict[str, Any]
    state: str
    message: str
    is_final: bool
    key: str = ""
    """Its idempotency key."""

    @classmethod
    def of(cls, run: FlowRun) -> Self:
        """Convert a response of Prefect."""
        state = run.state
        return cls(
            run_id=str(run.id),
            parameters=run.parameters,
            labels=run.labels,
            state=state.name or state.type.value.title() if state else "Pending",
            message=(state.message if state else None) or "",
            is_final=state is not None and state.is_final(),
            key=run.idempotency_key or "",
        )


class Runs:
    """Starts, reads and cancels the runs of the deployments, on the server at PREFECT_API_URL.

    Raises PrefectUnreachable if a response is late or can't be used.
    """

    def __init__(self, timeout: float = REQUEST_TIMEOUT) -> None:
        if not PREFECT_API_URL.value():
            raise InputError("PREFECT_API_URL is not set: set it to the Prefect server whose workers run the jobs")
        self._client = RenewingClient(timeout)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    async def start(self, deployment: str, parameters: dict[str, Any], *, key: str, labels: dict[str, str]) -> Run:
        """Create a run of a deployment, or return the earlier run with the same idempotency key."""

        async def create(client: PrefectClient) -> FlowRun:
            found = await client.read_deployment_by_name(deployment)
            return await client.create_flow_run_from_deployment(
                found.id,
                parameters=parameters,
                idempotency_key=key,
                labels=labels,  # type: ignore[arg-type]
            )

        with prefect_errors(f"start {deployment}"):
            return Run.of(await self._client.request(create))

    async def find(self, key: str) -> Run | None:
        """Return the run with an idempotency key."""
        of_key = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
        with prefect_errors("find a run"):
            found = await self._client.request(lambda client: client.read_flow_runs(flow_run_filter=of_key, limit=1))
        return Run.of(found[0]) if found else None

    async def read(self, run_id: str) -> Run | None:
        """Return a run, or None if Prefect knows none of that id."""
        try:
            uuid = UUID(run_id)
        except ValueError:
            return None
        if str(uuid) != run_id:
            return None
        with prefect_errors("read a run"):
            try:
                return Run.of(await self._client.request(lambda client: client.read_flow_run(uuid)))
            except ObjectNotFound as error:
                if is_missing(error):
                    return None
                raise

    async def progress_of_cut(self, run_id: str) -> tuple[int, str]:
        """Return the percent and the description of the progress artifact of a run's cut; 0 if it has none yet."""
        of_run = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]),
            type=ArtifactFilterType(any_=["progress"]),
            key=ArtifactFilterKey(like_="progress-%-cut"),
        )

        async def read(client: PrefectClient) -> list[Artifact]:
            return await client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.UPDATED_DESC, limit=1)

        with prefect_errors("read the progress of a cut"):
            found = await self._client.request(read)
            return (round(float(str(found[0].data))), found[0].description or "") if found else (0, "")

    async def cancel(self, run_id: str) -> None:
        """Ask Prefect to cancel a run. The worker ends a run that has begun."""
        with prefect_errors("cancel a run"):
            await self._client.request(lambda client: client.set_flow_run_state(UUID(run_id), Cancelling()))

    async def check(self) -> None:
        """Raise PrefectUnreachable unless Prefect answers."""
        with prefect_errors("check Prefect"):
            (await self._client.request(lambda client: client.hello())).json()


@dataclass(frozen=True)
class Slice:
    """The run of one part of a campaign."""

    part: int
    run_id: str
    is_new: bool


def start_slices(parameters: dict[str, Any], parts: int) -> list[Slice]:
    """Start a run of `generate-campaign` for each part of a campaign, except parts whose run has not ended yet."""
    if not PREFECT_API_URL.value():
        raise InputError("PREFECT_API_URL is not set: set it to the Prefect server whose workers run the parts")
    tag = f"campaign:{parameters['campaign']}"
    with prefect_errors("start the parts of the campaign"), sync_client() as client:
        check_server(client)
        deployment = client.read_deployment_by_name("generate-campaign/generate-campaign")
        tagged = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))
        busy = {run.parameters["part"]: run for run in tagged if run.state and not run.state.is_final()}
        slices = []
        for part in range(1, parts + 1):
            run = busy.get(part) or client.create_flow_run_from_deployment(
                deployment.id, parameters={**parameters, "part": part, "parts": parts}, tags=["adreel", tag]
            )
            slices.append(Slice(part, str(run.id), is_new=part not in busy))
    return slices


def needs_embedded_server() -> bool:
    """Whether Prefect's settings name no other server."""
    return not PREFECT_API_URL.value() or is_embedded()


def run_in_process(
    flow: Flow[..., Any], parameters: dict[str, Any], watch: Callable[[str], AbstractContextManager[None]]
) -> State[Any]:
    """Run a flow in this process and return its final state; `watch` is entered with the run's id meanwhile.

    Uses the server at PREFECT_API_URL, or Prefect's embedded server once it has started.
    """
    with prefect_errors(), get_client(sync_client=True) as client:
        check_server(client)
        run = client.create_flow_run(flow, parameters=parameters, state=Pending())
        with watch(str(run.id)):
            state: State[Any] = run_flow(flow, flow_run=run, parameters=parameters, return_type="state")  # type: ignore[assignment]
        return state
