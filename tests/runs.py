"""Runs of the flows in the test's own process, on the server of the tests."""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateType
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Pending, Scheduled

DONE = {StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED}


def delete_unfinished_runs(client: SyncPrefectClient) -> None:
    """Delete the runs of earlier tests that a worker or a recovery would carry on."""
    unfinished = FlowRunFilterStateType(any_=[state for state in StateType if state not in DONE])
    for found in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=unfinished))):
        client.delete_flow_run(found.id)


def run(flow: Flow[..., Any], **parameters: Any) -> tuple[str, State[Any]]:
    with get_client(sync_client=True) as client:
        created = client.create_flow_run(flow, parameters=parameters, state=Pending())
        state: Any = run_flow(flow, flow_run=created, parameters=parameters, return_type="state")
    return str(created.id), state


def retry(flow: Flow[..., Any], job_id: str) -> State[Any]:
    """Do what the UI's Retry does, and what a worker does then."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(job_id), Scheduled(name="AwaitingRetry"), force=True)
        again = client.read_flow_run(UUID(job_id))
        state: Any = run_flow(flow, flow_run=again, parameters=again.parameters, return_type="state")
    assert isinstance(state, State)
    return state
