"""The command that brings runs of dead workers back: like the flows, what it calls lies above `adreel`."""

import typer
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from adreel.errors import InputError
from deployments.recovery import Recovery, Terms


def watch_runs(*, silence: float, start: float, retries: int) -> None:
    """Watch the runs of the Prefect server at PREFECT_API_URL; returns never."""
    if not PREFECT_API_URL.value():
        raise InputError("PREFECT_API_URL is not set: name the Prefect server whose runs are to be brought back")
    with get_client(sync_client=True) as client:
        typer.echo(f"Watching the runs of {PREFECT_API_URL.value()}")
        Recovery(client, Terms(silence=silence, start=start, retries=retries)).watch(typer.echo)
