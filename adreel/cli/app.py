"""The command `adreel`. Each command imports what it needs when it runs: the help has to be there at once."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from adreel import __version__
from adreel.cli.output import make_output_last, output_error, printable
from adreel.environment.env_file import read_env_file
from adreel.environment.proxies import bypass_loopback, unify_proxies
from adreel.errors import AdreelError, InputError
from adreel.models.scenarios import Scenario

BUYING = {"generate", "campaign", "regenerate", "resume"}
"""Commands whose exit code only reports the purchase."""
WITHOUT_SETTINGS = {"--help", "schema", "version"}
"""Arguments with which no settings are read."""

app = typer.Typer(
    name="adreel",
    help="Buys the four clips of a video ad from Runware, each at most once, and stores them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log too")]
SessionId = Annotated[str, typer.Argument(help="A stored session, see `adreel sessions`")]


@app.command()
def generate(
    file: Annotated[Path, typer.Argument(help="The session, as YAML or JSON; see `adreel schema`")],
    scenes: Annotated[
        list[Scenario] | None, typer.Option("--scene", "-s", help="Only this scene; may be given several times")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes although the session has some already")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Generate an ad: buy one clip for each scene of a session file."""
    from adreel.cli.generate import generate_file

    raise typer.Exit(generate_file(file, scenes, again=again, as_json=as_json, verbose=verbose))


@app.command()
def campaign(
    source: Annotated[
        str,
        typer.Argument(
            help="Sessions: a .jsonl file, a folder of session files, or a .yaml or .json file of products and"
            " variants; a path or a URL"
        ),
    ],
    name: Annotated[
        str, typer.Option(help="Tells it from other campaigns of the same sessions; by default the file's")
    ] = "",
    window: Annotated[int, typer.Option(min=4, help="How many scenes may be in flight at once")] = 200,
    again: Annotated[bool, typer.Option("--again", help="Buy anew what other jobs have bought already")] = False,
    parts: Annotated[
        int | None, typer.Option(min=1, help="Hand it out in so many slices, to the workers of PREFECT_API_URL")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Generate the ads of many sessions; the same command again goes on where it stopped."""
    from adreel.cli.campaign import hand_out, run_campaign

    if parts:
        hand_out(source, name, window=window, again=again, parts=parts, as_json=as_json)
    else:
        raise typer.Exit(run_campaign(source, name, window=window, again=again, as_json=as_json, verbose=verbose))


@app.command()
def regenerate(
    session_id: SessionId,
    scenario: Annotated[Scenario, typer.Argument(help="The scene to buy anew")],
    prompt: Annotated[str | None, typer.Option(help="What one sees, instead of the stored description")] = None,
    seed: Annotated[int | None, typer.Option(help="A seed for the new take")] = None,
    model: Annotated[str | None, typer.Option(help="A model for the new take, as creator:family@version")] = None,
    first_frame: Annotated[
        str | None, typer.Option(help="An image to start from: a PNG, JPEG or WebP file, or an https URL")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy a new take of one scene; the other scenes and the old take stay as they are."""
    from adreel.cli.generate import regenerate_one

    changes = {"visual_description": prompt, "seed": seed, "model": model, "first_frame": first_frame}
    given = {name: value for name, value in changes.items() if value is not None}
    raise typer.Exit(regenerate_one(session_id, scenario, given, as_json=as_json, verbose=verbose))


@app.command()
def resume(
    target: Annotated[str | None, typer.Argument(metavar="[SESSION_ID|JOB_ID]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs in the storage")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Resume open jobs: fetch the clips that Runware has accepted, buy the others."""
    from adreel.cli.generate import resume_open

    if everything == (target is not None):
        raise InputError("name a session or a job to resume, or --all")
    raise typer.Exit(resume_open(target or "all", as_json=as_json, verbose=verbose))


@app.command()
def status(
    name: Annotated[str, typer.Argument(metavar="JOB_ID|SESSION_ID")],
    as_json: Json = False,
) -> None:
    """Show a job or a session, from the records in storage."""
    from adreel.cli.display import show_status

    show_status(name, as_json=as_json)


@app.command()
def sessions(as_json: Json = False) -> None:
    """List the stored sessions."""
    from adreel.cli.display import show_sessions

    raise typer.Exit(show_sessions(as_json=as_json))


@app.command()
def takes(
    session_id: SessionId,
    scenario: Annotated[Scenario | None, typer.Argument(help="Only this scene")] = None,
    as_json: Json = False,
) -> None:
    """List what was bought for the scenes of a session."""
    from adreel.cli.display import show_takes

    show_takes(session_id, scenario, as_json=as_json)


@app.command()
def use(
    session_id: SessionId,
    scenario: Annotated[Scenario, typer.Argument(help="The scene to choose for")],
    take: Annotated[str, typer.Argument(help="As `adreel takes` names it, or the id of its job")],
) -> None:
    """Make an older take the current one of its scene."""
    from adreel.cli.display import use_take

    use_take(session_id, scenario, take)


@app.command()
def verify(as_json: Json = False) -> None:
    """Check every record and clip; exits 1 if any is unreadable, missing, changed, orphaned or left over."""
    from adreel.cli.display import show_findings

    raise typer.Exit(show_findings(as_json=as_json))


@app.command()
def fetch(
    session_id: SessionId,
    to: Annotated[Path | None, typer.Option(help="Folder for the clips; by default one named like the session")] = None,
    as_json: Json = False,
) -> None:
    """Copy the current clips of a session to this machine, from any storage; exits 1 if a scene has none yet."""
    from adreel.cli.maintenance import fetch_clips

    raise typer.Exit(fetch_clips(session_id, to or Path(session_id), as_json=as_json))


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="Takes that ended so long ago: 12h, 30d, 8w")],
    keep_current: Annotated[bool, typer.Option(help="Keep each scene's current take, however old it is")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them")] = False,
    as_json: Json = False,
) -> None:
    """Remove takes that nobody uses, with their clips and costs; exits 1 if a record can't be read."""
    from adreel.cli.maintenance import prune_takes

    raise typer.Exit(prune_takes(older_than, keep_current=keep_current, dry_run=dry_run, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a session file."""
    import json

    from adreel.models.sessions import Session

    typer.echo(json.dumps(Session.model_json_schema(), indent=2))


@app.command("local-runware")
def local_runware(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8787,
    render_seconds: Annotated[float, typer.Option(help="How long each clip takes to render")] = 6,
    price: Annotated[float, typer.Option(help="USD per second of video")] = 0.05,
    one_film: Annotated[
        bool, typer.Option("--one-film", help="The same film for all tasks of a size and length, for measurements")
    ] = False,
    fault: Annotated[
        list[str] | None, typer.Option(help="What goes wrong, such as providerTimeout:solution; several times")
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="Decides which events a fault at a rate strikes (name%0.05)")] = 0,
    ledger: Annotated[Path | None, typer.Option(help="Keep the tasks in this file, to outlive a restart")] = None,
) -> None:
    """Serve the local Runware: the provider's protocol and real MP4 files, without money."""
    from adreel.cli.emulator import serve

    serve(
        port=port,
        render_seconds=render_seconds,
        price=price,
        one_film=one_film,
        faults=fault or [],
        fault_seed=fault_seed,
        ledger=ledger,
    )


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to serve on; others than loopback need ADREEL_API_KEYS")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
) -> None:
    """Serve the HTTP API; workers of the Prefect server at PREFECT_API_URL carry the jobs out."""
    from adreel.orchestration.errors import prefect_errors

    unify_proxies()
    with prefect_errors():
        from adreel.web.server import serve as serve_api

    serve_api(host, port)


@app.command()
def up(
    folder: Annotated[
        Path, typer.Option(help="What has to outlive it: Prefect's database, leases, logs, the local Runware's tasks")
    ] = Path(".adreel"),
    port: Annotated[int, typer.Option(help="Of the storyboard and the API; 0 takes a free one")] = 8000,
    prefect_port: Annotated[int, typer.Option(help="Of Prefect's UI and API; 0 takes a free one")] = 4200,
    sqlite: Annotated[bool, typer.Option("--sqlite", help="Prefect on SQLite, not on an embedded PostgreSQL")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs at once, each a process of its own")] = 8,
) -> None:
    """Start the whole studio on this machine and keep it running until Ctrl-C."""
    from adreel.cli.servers import run_studio

    run_studio(folder=folder, port=port, prefect_port=prefect_port, sqlite=sqlite, runs=runs)


@app.command()
def worker(
    limit: Annotated[int, typer.Option(min=1, help="Runs at once, each a process of its own")] = 8,
    pool: Annotated[str, typer.Option(help="The work pool to serve")] = "adreel",
    name: Annotated[str | None, typer.Option(help="What Prefect shows it as")] = None,
    with_healthcheck: Annotated[
        bool,
        typer.Option("--with-healthcheck", help="Answer at PREFECT_WORKER_WEBSERVER_PORT whether it asks for work"),
    ] = False,
) -> None:
    """Carry out the runs of the server at PREFECT_API_URL, each started within a moment, until Ctrl-C."""
    from adreel.cli.servers import carry_out_runs

    carry_out_runs(pool=pool, name=name, limit=limit, with_healthcheck=with_healthcheck)


@app.command()
def deploy() -> None:
    """Put pool, queues, limit, deployments and triggers on the server at PREFECT_API_URL; again changes nothing."""
    from adreel.cli.servers import deploy_all

    deploy_all()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check storage, key and Prefect server, and say what to do about each finding; exits 1 if there is one."""
    from adreel.cli.servers import examine_all

    raise typer.Exit(examine_all(as_json=as_json))


@app.command()
def recover(
    silence: Annotated[
        float, typer.Option(min=40, help="Seconds without a heartbeat (every 30 s) until a run is dead")
    ] = (90),
    start: Annotated[
        float, typer.Option(min=10, help="Seconds that a run may take to begin once a worker has it")
    ] = 120,
    retries: Annotated[int, typer.Option(min=0, help="How often a crashed run is given to the next worker")] = 5,
) -> None:
    """Bring runs back whose worker has died, until this is ended; keep one running beside each Prefect server."""
    from adreel.cli.servers import watch_runs

    watch_runs(silence=silence, start=start, retries=retries)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; an error becomes one line and an exit code: 2 for bad input, else 1."""
    make_output_last()
    sys.exit(_lose_no_output(_run()))


def _run() -> int:
    from adreel.deployments.auth import use_auth

    try:
        bypass_loopback()
        # Modules in the current folder must not shadow the modules of child processes.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
        if not WITHOUT_SETTINGS & set(sys.argv[1:]):
            # Prefect reads the file too: without a bound, and with a traceback if it is no text.
            read_env_file()
        use_auth(os.environ)
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except AdreelError as error:
        _report(error.code, str(error))
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        typer.echo("interrupted; what Runware has accepted goes on rendering", err=True)
        return 130
    except Exception as error:
        if os.environ.get("ADREEL_DEBUG"):
            raise
        reason = "".join(traceback.format_exception_only(error)).strip()
        _report("unexpected", f"this is a bug: {reason}; ADREEL_DEBUG=1 shows where, for a report of it")
        return 1
    return 0


def _lose_no_output(code: int) -> int:
    """Return the exit code; 1 if a command without a purchase could not print its answer."""
    sys.stdout.flush()
    if reason := output_error():
        typer.echo(f"adreel: can't print to standard output: {reason}", err=True)
        # The exit code of a purchase only reports the purchase.
        return code if BUYING & set(sys.argv[1:2]) else code or 1
    return code


def _report(code: str, message: str) -> None:
    if "--json" in sys.argv:
        import json

        typer.echo(json.dumps({"error": {"code": code, "message": message}}))
    typer.echo(f"adreel: {printable(message)}", err=True)
