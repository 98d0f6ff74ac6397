"""Starts runs through Prefect's API: here, in this process, under an id that is known before the run begins."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Pending


def run_here(
    flow: Flow[..., Any], parameters: dict[str, Any], watch: Callable[[str], AbstractContextManager[None]]
) -> State[Any]:
    """Run a flow in this process and return its final state; `watch` is entered with its id for that time.

    Uses the server at PREFECT_API_URL, else Prefect's embedded one.
    """
    with _shielded_server(), get_client(sync_client=True) as client:
        run = client.create_flow_run(flow, parameters=parameters, state=Pending())
        with watch(str(run.id)):
            state: State[Any] = run_flow(flow, flow_run=run, parameters=parameters, return_type="state")  # type: ignore[assignment]
        return state


@contextmanager
def _shielded_server() -> Iterator[None]:
    """Start the embedded server so that it outlives Ctrl-C and does not outlive this process.

    A terminal sends Ctrl-C to every process of the group, and a server killed that way keeps the run waiting for
    it for a minute; a SIGTERM would end this process before it has ended the server.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        get_client(sync_client=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    earlier = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
