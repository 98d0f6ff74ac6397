"""The commands that run servers, prepare them or check them."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adreel.cli.output import printable
from adreel.errors import InputError
from adreel.settings import Settings
from adreel.settings.proxies import unify_proxies

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PRELOAD = ("adreel.cli.app", "adreel.cli.jobs", "adreel.emulator")
"""Modules of the commands that a studio's fork server runs."""


def run_emulator(**options: Any) -> None:
    """Serve the emulator until Ctrl-C; `options` are those of LocalRunware."""
    from adreel.emulator import LocalRunware

    async def serve() -> None:
        async with LocalRunware(**options) as server:
            print_log(f"RUNWARE_URL={server.url}")
            ledger = f"{server.rest_url.removesuffix('/v1')}/ledger"
            print_log(f"REST at {server.rest_url}, the ledger at {ledger}; Ctrl-C stops it")
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except (ValueError, OSError) as error:
        raise InputError(f"can't start the emulator: {error}") from None
    except KeyboardInterrupt:
        print_log("stopped")


def run_studio(*, folder: Path, port: int, prefect_port: int, sqlite: bool, runs: int) -> None:
    """Start the studio, print its addresses, and keep it running until Ctrl-C."""
    from adreel.deployments.auth import auth_file
    from adreel.deployments.studio import StudioOptions, running

    began = time.monotonic()
    unify_proxies()
    settings = Settings.load()
    options = StudioOptions(folder, port, prefect_port, postgres=not sqlite, runs=runs)
    with running(settings, options, print_log) as studio:
        file = auth_file(folder)
        provider = "the emulator renders, nothing is spent" if settings.is_local else "Runware"
        # Output that is not a terminal may be a log that others can read.
        sign_in = f"{studio.prefect_auth}  (kept in {file})" if sys.stdout.isatty() else f"the password in {file}"
        print_log(f"""
  Storyboard  {studio.pages_url}
  Prefect     {studio.prefect_url}
  Sign in     {sign_in}
  Shell       . {file}   for prefect and adreel commands on this studio
  Clips       {studio.storage}
  Provider    {provider}
  Logs        {folder / "logs"}

Up after {time.monotonic() - began:.0f} s. Ctrl-C stops it; open jobs continue at the next start.""")
        studio.keep(print_log)


def run_worker(*, pool: str, name: str | None, limit: int, with_healthcheck: bool) -> None:
    """Serve a work pool until Ctrl-C."""
    with _server() as client:
        from adreel.deployments.worker import work
        from adreel.orchestration.errors import check_server

        check_server(client)
        work(client, pool, name, limit, with_healthcheck=with_healthcheck, preload=PRELOAD)


def deploy() -> None:
    """Create or update what adreel needs on the Prefect server, and print each change."""
    with _server() as client:
        from adreel.deployments.deploy import deploy
        from adreel.orchestration.errors import check_server

        check_server(client)
        for line in deploy(client, Settings.load()):
            print_log(line)


def show_diagnosis(*, as_json: bool) -> int:
    """Check what a job needs and print each finding at once; returns the exit code."""
    from adreel.cli.display import print_json, print_line
    from adreel.orchestration.errors import prefect_errors

    unify_proxies()
    with prefect_errors():
        from adreel.deployments.doctor import examine
    findings = []
    for finding in examine(Settings.load()):
        findings.append(finding)
        if not as_json:
            print_line(f"{'ok ' if finding.is_well else 'NOT'}  {finding.what}: {finding.found}")
            if finding.advice:
                print_line(f"     -> {finding.advice}")
    if as_json:
        print_json(findings)
    return 0 if all(finding.is_well for finding in findings) else 1


def recover_runs(*, silence: float, start: float, retries: int) -> None:
    """Recover the runs of dead workers until Ctrl-C."""
    # Recovery has its own retries, with shorter pauses than Prefect's client.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "0")
    with _server() as client:
        from adreel.deployments.recovery import Recovery, RecoveryOptions
        from adreel.records import Records
        from adreel.spend.budgets import Budgets

        print_log(f"Watching the runs of {client.api_url}")
        recovery = Recovery(client, RecoveryOptions(silence=silence, start=start, retries=retries))
        recovery.watch(print_log, lambda: Budgets(Records.of(Settings.load())))


def print_log(line: str) -> None:
    """Print a line. A closed terminal or a full disk disturbs no server and no shutdown."""
    with suppress(OSError):
        typer.echo(printable(line))


@contextmanager
def _server() -> Iterator["SyncPrefectClient"]:
    """Yield a client of the server at PREFECT_API_URL. Without one, an embedded server would end with the command."""
    unify_proxies()
    from adreel.orchestration.errors import prefect_errors

    with prefect_errors():
        from prefect.settings import PREFECT_API_URL

        from adreel.orchestration.client import sync_client

        if not PREFECT_API_URL.value():
            raise InputError("PREFECT_API_URL is not set: set it to the API of a Prefect server")
        with sync_client() as client:
            yield client
