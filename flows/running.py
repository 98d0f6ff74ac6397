"""Runs of flows in this process, as the Python API and the command line make them.

Prefect takes seconds to import, so only a function that runs a flow imports it. It uses the Prefect server at
PREFECT_API_URL, else an embedded one.
"""

import os
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from adreel.errors import AdreelError
from adreel.orchestration.embedded_server import (
    begin_embedded_server,
    ending_on_sigterm,
    is_embedded,
    start_embedded_server,
)
from adreel.orchestration.errors import prefect_errors
from adreel.orchestration.imports import without_collections
from adreel.records import Records
from adreel.settings import Settings
from adreel.settings.prefect_server import may_name_server
from adreel.settings.proxies import unify_proxies

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


class Observer:
    """Receives messages and follows the jobs of a call. Override its methods to show progress."""

    def message(self, text: str) -> None:
        """Receive a message for people: who renders the clips, that Prefect starts, and warnings of the requests."""

    def starting(self, what: str) -> AbstractContextManager[None]:
        """Return a context manager that is entered while something starts that takes seconds."""
        self.message(f"Starting {what} ...")
        return nullcontext()

    def watching(self, job_ids: list[str]) -> AbstractContextManager[None]:
        """Return a context manager that is entered while the jobs run."""
        return nullcontext()


def open_records(settings: Settings | None = None) -> Records:
    """Open the records in the storage of the settings, by default those of the environment.

    Raises InputError for a wrong setting and StorageError for an unusable storage.
    """
    return Records.of(settings or Settings.load())


def run_flow(
    name: str,
    parameters: dict[str, Any],
    settings: Settings,
    observer: Observer | None = None,
    job_ids: list[str] | None = None,
    *,
    buys: bool = True,
) -> "tuple[str, State[Any]]":
    """Run a flow of `adreel.flows` by the name of its module, and return the id and the final state of its run.

    `job_ids` are the jobs to observe, by default the one with the id of the run.
    """
    observer = observer or Observer()
    unify_proxies()
    if buys and settings.is_local:
        # A task looks for a key in Prefect unless the variable is set and empty.
        mentioned = "runware_api_key" in settings.model_fields_set
        unless = "" if mentioned else ", unless Prefect holds a Secret block runware-api-key"
        observer.message(f"No RUNWARE_API_KEY: the emulator renders, nothing is spent{unless}.")
    # Prefect sends no telemetry, and works without a network.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    run_ids: list[str] = []

    def watch(run_id: str) -> AbstractContextManager[None]:
        run_ids.append(run_id)
        return observer.watching(job_ids or [run_id])

    with ending_on_sigterm(at_once=True), ExitStack() as starting, prefect_errors():
        # The server starts while this process imports Prefect.
        if has_begun := not may_name_server() and begin_embedded_server():
            starting.enter_context(observer.starting("Prefect"))
        with without_collections():
            from adreel.orchestration.runs import needs_embedded_server, run_in_process

            flow = getattr(import_module(f"adreel.flows.{name}"), name)
        if buys and settings.is_local:
            # The emulator takes a fifth of a second to import, while this process waits for Prefect's answers.
            threading.Thread(target=import_module, args=["adreel.emulator"], daemon=True).start()
        if needs_embedded_server():
            if not (has_begun or is_embedded()):
                starting.enter_context(observer.starting("Prefect"))
            start_embedded_server()
    with ending_on_sigterm():
        state = run_in_process(flow, parameters, watch)
    return run_ids[0], state


def error_of(state: "State[Any]") -> AdreelError | None:
    """Return the error that ended a run, raised by its flow or kept in the state that it returned."""
    found = getattr(state.data, "result", state.data)
    return found if isinstance(found, AdreelError) else None
