"""Runs of the flows in the test's own process, on the server of the tests."""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Pending, Scheduled


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
