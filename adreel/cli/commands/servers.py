"""The commands that run servers, prepare them or check them."""

from pathlib import Path
from typing import Annotated

import typer

from adreel.cli.options import Json


def up(
    folder: Annotated[Path, typer.Option(help="Folder of databases, leases and logs")] = Path(".adreel"),
    port: Annotated[int, typer.Option(help="Port of the storyboard and the API; 0 selects a free one")] = 8000,
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's UI and API; 0 selects a free one")] = 4200,
    sqlite: Annotated[bool, typer.Option("--sqlite", help="Use SQLite, not an embedded PostgreSQL")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Maximum number of runs at once, one process each")] = 8,
) -> None:
    """Run all services on this machine until Ctrl-C. These are Prefect, a worker, the API and the storyboard."""
    from adreel.cli.servers import run_studio

    run_studio(folder=folder, port=port, prefect_port=prefect_port, sqlite=sqlite, runs=runs)


def serve(
    host: Annotated[str, typer.Option(help="Address; all but loopback require ADREEL_API_KEYS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 selects a free one")] = 8000,
) -> None:
    """Serve the HTTP API and the storyboard. Workers of the Prefect server at PREFECT_API_URL run the jobs."""
    from adreel.orchestration.errors import prefect_errors
    from adreel.settings.proxies import unify_proxies

    unify_proxies()
    with prefect_errors():
        from adreel.web.server import serve as serve_api

    serve_api(host, port)


def worker(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs at once, one process each")] = 8,
    pool: Annotated[str, typer.Option(help="Work pool to serve")] = "adreel",
    name: Annotated[str | None, typer.Option(help="Name of the worker in Prefect")] = None,
    with_healthcheck: Annotated[
        bool, typer.Option("--with-healthcheck", help="Serve a health check at PREFECT_WORKER_WEBSERVER_PORT")
    ] = False,
) -> None:
    """Run jobs for a Prefect server, which PREFECT_API_URL names. Ctrl-C stops it."""
    from adreel.cli.servers import run_worker

    run_worker(pool=pool, name=name, limit=limit, with_healthcheck=with_healthcheck)


def deploy() -> None:
    """Set up the Prefect server that PREFECT_API_URL names. Creates its work pool, queues, limits and deployments."""
    from adreel.cli import servers

    servers.deploy()


def recover(
    silence: Annotated[
        float, typer.Option(min=40, help="Seconds without a heartbeat after which a run counts as dead")
    ] = 90,
    start: Annotated[
        float, typer.Option(min=10, help="Maximum seconds between a worker's claim of a run and its start")
    ] = 120,
    retries: Annotated[int, typer.Option(min=0, help="Maximum number of reschedules of a crashed run")] = 5,
) -> None:
    """Reschedule runs of dead workers and reconcile budgets. Keep one beside each Prefect server."""
    from adreel.cli.servers import recover_runs

    recover_runs(silence=silence, start=start, retries=retries)


def doctor(as_json: Json = False) -> None:
    """Check the storage, the key, its balance and Prefect. Exits 1 with advice if there is a problem."""
    from adreel.cli.servers import show_diagnosis

    raise typer.Exit(show_diagnosis(as_json=as_json))


def local_runware(
    port: Annotated[int, typer.Option(help="Port; 0 selects a free one")] = 8787,
    render_seconds: Annotated[float, typer.Option(help="Render time of each task")] = 6,
    price: Annotated[
        float | None, typer.Option(help="USD per second of video; without it, as the catalogue says")
    ] = None,
    credits: Annotated[  # noqa: A002 - Runware's word
        float | None, typer.Option(help="USD on the account; without it, an account without end")
    ] = None,
    one_film: Annotated[
        bool, typer.Option("--one-film", help="Render one clip per size and length, and reuse it")
    ] = False,
    fault: Annotated[
        list[str] | None, typer.Option(help="Fault, such as providerTimeout:solution or failedInData:voice; repeatable")
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="Seed of faults with a rate, such as name%0.05")] = 0,
    ledger: Annotated[Path | None, typer.Option(help="File that keeps the tasks across restarts")] = None,
) -> None:
    """Serve the emulator. It speaks Runware's protocol and renders real files at no cost."""
    from adreel.cli.servers import run_emulator

    run_emulator(
        port=port,
        render_seconds=render_seconds,
        price=price,
        credits=credits,
        one_film=one_film,
        faults=fault or [],
        fault_seed=fault_seed,
        ledger_file=ledger,
    )
