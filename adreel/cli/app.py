"""The command `adreel`. Each command imports what it needs when it runs, so that the help appears at once."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from adreel import __version__
from adreel.cli.budgets import budget_app
from adreel.cli.campaigns import campaigns
from adreel.cli.catalog import models_app
from adreel.cli.finished_ads import cut, deliver
from adreel.cli.money import ClipPrice, MaxCost, check_usd, price
from adreel.cli.new_ads import new, templates
from adreel.cli.options import Json, NoCut, Scenes, SessionId, Unchecked, Verbose
from adreel.cli.output import make_output_durable, output_error, printable
from adreel.cli.sessions import index_app, sessions
from adreel.cli.shares import reviews, share, shares, unshare
from adreel.cli.spend import spend
from adreel.errors import AdreelError, InputError, OverBudget, SceneMissing
from adreel.models.scenarios import Scenario

PURCHASES = {"generate", "campaign", "regenerate", "resume"}
"""Commands whose exit code reports the purchase alone, not whether the result could be printed."""
FOR_STUDIO = PURCHASES | {"cut", "deliver", "doctor"}
"""Commands that use the studio of the current folder, if one runs and no other server is set."""
IMAGE = "a PNG, JPEG or WebP file or an https URL"
WITHOUT_SETTINGS = {"--help", "schema", "templates", "version"}
"""Arguments with which no settings are read."""


app = typer.Typer(
    name="adreel",
    help="Buys the four clips of a video ad from Runware, each at most once, and makes the finished ad.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

app.add_typer(models_app, name="models")
app.add_typer(budget_app, name="budget")


app.command()(new)
app.command()(templates)


@app.command()
def generate(
    file: Annotated[Path, typer.Argument(help="Session file, YAML or JSON; see `adreel schema`")],
    scenes: Scenes = None,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes of scenes that have takes already")] = False,
    unchecked: Unchecked = False,
    no_cut: NoCut = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy the clips of a session file, and make the finished ad of them."""
    from adreel.cli import jobs

    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(
        jobs.generate(file, scenes, again=again, cut=not no_cut, limits=limits, as_json=as_json, verbose=verbose)
    )


app.command()(cut)
app.command()(deliver)
app.command()(spend)


@app.command()
def prompt(
    source: Annotated[str, typer.Argument(metavar="FILE|SESSION_ID", help="Session file, or id of a stored session")],
    scenes: Scenes = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
) -> None:
    """Print the request of each scene and its warnings. Nothing is bought or written."""
    from adreel.cli.jobs import use_catalog
    from adreel.cli.prompts import show_prompts

    use_catalog(is_unchecked=unchecked)
    show_prompts(source, scenes, as_json=as_json)


app.command()(price)


@app.command()
def campaign(
    source: Annotated[
        str,
        typer.Argument(
            help="Path or URL of the sessions: a .jsonl file, a folder of session files, or a .yaml or .json file of"
            " products and variants"
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the campaign, by default that of the file")] = "",
    window: Annotated[int, typer.Option(min=4, help="Maximum number of scenes in flight")] = 200,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes of scenes that other jobs have bought")] = False,
    parts: Annotated[
        int | None, typer.Option(min=1, help="Start this many runs on the server at PREFECT_API_URL")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            min=0,
            callback=check_usd,
            help="Refuse the campaign if its clips would cost more USD. Retries come on top: a budget limits them",
        ),
    ] = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    no_cut: NoCut = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Generate the ads of many sessions. To continue after an interruption, repeat the command."""
    from adreel.cli import jobs

    if parts and unchecked:
        raise InputError("--parts starts runs of workers: set ADREEL_CATALOG=unchecked for them, not --unchecked")
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    if parts:
        jobs.start_campaign(
            source, name, window=window, again=again, cut=not no_cut, parts=parts, limits=limits, as_json=as_json
        )
    else:
        raise typer.Exit(
            jobs.campaign(
                source,
                name,
                window=window,
                again=again,
                cut=not no_cut,
                limits=limits,
                as_json=as_json,
                verbose=verbose,
            )
        )


@app.command()
def regenerate(
    session_id: SessionId,
    scenario: Annotated[Scenario, typer.Argument(help="Scene to buy again")],
    visual_description: Annotated[str | None, typer.Option("--prompt", help="Visual description")] = None,
    model: Annotated[str | None, typer.Option(help="Video model, as creator:family@version")] = None,
    aspect: Annotated[str | None, typer.Option(help="Shape, such as 9:16")] = None,
    resolution: Annotated[str | None, typer.Option(help="Resolution, such as 1080p")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, instead of aspect and resolution")] = None,
    duration: Annotated[float | None, typer.Option("--seconds", help="Length")] = None,
    sound: Annotated[bool | None, typer.Option("--sound/--no-sound", help="Whether the clip has sound")] = None,
    first_frame: Annotated[str | None, typer.Option(help=f"Image to start from, {IMAGE}")] = None,
    last_frame: Annotated[str | None, typer.Option(help=f"Image to end with, {IMAGE}")] = None,
    references: Annotated[
        list[str] | None, typer.Option("--reference", help=f"Image of what to keep, {IMAGE}; repeatable")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What must not be seen")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed")] = None,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy a new take of one scene. Options change it for this take only. Earlier takes and other scenes are kept."""
    from adreel.cli import jobs

    options = {
        "visual_description": visual_description,
        "model": model,
        "aspect": aspect,
        "resolution": resolution,
        "size": size,
        "duration": duration,
        "sound": sound,
        "first_frame": first_frame,
        "last_frame": last_frame,
        "references": references,
        "negative_prompt": negative_prompt,
        "seed": seed,
    }
    changes = {name: value for name, value in options.items() if value is not None and value != []}
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(jobs.regenerate(session_id, scenario, changes, limits=limits, as_json=as_json, verbose=verbose))


@app.command()
def resume(
    target: Annotated[
        str | None, typer.Argument(metavar="[SESSION_ID|JOB_ID]", help="Stored session, or a job of one")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Resume all jobs in the storage")] = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Resume open jobs. Clips that Runware has accepted are downloaded, the others are bought."""
    from adreel.cli import jobs

    if everything == (target is not None):
        raise InputError("name a session or a job to resume, or --all")
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(jobs.resume(target or "all", limits=limits, as_json=as_json, verbose=verbose))


@app.command()
def status(
    name: Annotated[str, typer.Argument(metavar="JOB_ID|SESSION_ID", help="Stored session, or a job of one")],
    as_json: Json = False,
) -> None:
    """Show a job or a session. Prints the reason and the next command for each failed scene."""
    from adreel.cli.records import show_status

    show_status(name, as_json=as_json)


app.command()(sessions)
app.command()(campaigns)
app.add_typer(index_app, name="index")
for each in (share, shares, unshare, reviews):
    app.command()(each)


@app.command()
def takes(
    session_id: SessionId,
    scenario: Annotated[Scenario | None, typer.Argument(help="Only this scene")] = None,
    as_json: Json = False,
) -> None:
    """List the takes of a session."""
    from adreel.cli.records import show_takes

    show_takes(session_id, scenario, as_json=as_json)


@app.command()
def use(
    session_id: SessionId,
    scenario: Annotated[Scenario, typer.Argument(help="Scene of the take")],
    take: Annotated[str, typer.Argument(help="Take as shown by `adreel takes`, or the id of its job")],
) -> None:
    """Make an older take the current one of its scene."""
    from adreel.cli.records import use_take

    use_take(session_id, scenario, take)


@app.command()
def verify(
    checksums: Annotated[bool, typer.Option(help="Read the content of each file, not only its name")] = True,
    as_json: Json = False,
) -> None:
    """Check every record and clip. Exits 1 if any is unreadable, missing, changed, orphaned or left over."""
    from adreel.cli.records import show_findings

    raise typer.Exit(show_findings(checksums=checksums, as_json=as_json))


@app.command()
def fetch(
    session_id: SessionId,
    to: Annotated[Path | None, typer.Option(help="Folder for the clips, by default named after the session")] = None,
    as_json: Json = False,
) -> None:
    """Copy the current clips of a session and its current cut to this machine. Exits 1 if a scene has no clip yet."""
    from adreel.cli.records import fetch_clips

    raise typer.Exit(fetch_clips(session_id, to or Path(session_id), as_json=as_json))


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="Minimum age of the takes: 12h, 30d, 8w")],
    keep_current: Annotated[bool, typer.Option(help="Keep the current take of each scene at any age")] = True,
    cuts: Annotated[
        bool, typer.Option("--cuts", help="Also remove finished ads but the newest and the current one of each session")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the takes without removing them")] = False,
    as_json: Json = False,
) -> None:
    """Remove unused takes with their clips, and unused segments. Exits 1 if a record is unreadable."""
    from adreel.cli.records import prune_takes

    raise typer.Exit(prune_takes(older_than, keep_current=keep_current, cuts=cuts, dry_run=dry_run, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a session file."""
    import json

    from adreel.models.sessions import Session

    typer.echo(json.dumps(Session.model_json_schema(), indent=2))


@app.command("local-runware")
def local_runware(
    port: Annotated[int, typer.Option(help="Port; 0 selects a free one")] = 8787,
    render_seconds: Annotated[float, typer.Option(help="Render time of each clip")] = 6,
    price: Annotated[
        float | None, typer.Option(help="USD per second of video; without it, as the catalogue says")
    ] = None,
    credits: Annotated[  # noqa: A002 - Runware's word
        float | None, typer.Option(help="USD on the account; without it, an account without end")
    ] = None,
    one_film: Annotated[
        bool, typer.Option("--one-film", help="Render one clip per size and length, and reuse it")
    ] = False,
    fault: Annotated[list[str] | None, typer.Option(help="Fault, such as providerTimeout:solution; repeatable")] = None,
    fault_seed: Annotated[int, typer.Option(help="Seed of faults with a rate, such as name%0.05")] = 0,
    ledger: Annotated[Path | None, typer.Option(help="File that keeps the tasks across restarts")] = None,
) -> None:
    """Serve the emulator. It speaks Runware's protocol and renders real MP4 files at no cost."""
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


@app.command()
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


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Folder of databases, leases and logs")] = Path(".adreel"),
    port: Annotated[int, typer.Option(help="Port of the storyboard and the API; 0 selects a free one")] = 8000,
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's UI and API; 0 selects a free one")] = 4200,
    sqlite: Annotated[bool, typer.Option("--sqlite", help="Use SQLite, not an embedded PostgreSQL")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Maximum number of runs at once, one process each")] = 8,
) -> None:
    """Run Prefect, a worker, the API and the storyboard on this machine until Ctrl-C."""
    from adreel.cli.servers import run_studio

    run_studio(folder=folder, port=port, prefect_port=prefect_port, sqlite=sqlite, runs=runs)


@app.command()
def worker(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs at once, one process each")] = 8,
    pool: Annotated[str, typer.Option(help="Work pool to serve")] = "adreel",
    name: Annotated[str | None, typer.Option(help="Name of the worker in Prefect")] = None,
    with_healthcheck: Annotated[
        bool, typer.Option("--with-healthcheck", help="Serve a health check at PREFECT_WORKER_WEBSERVER_PORT")
    ] = False,
) -> None:
    """Run jobs for the Prefect server at PREFECT_API_URL until Ctrl-C."""
    from adreel.cli.servers import run_worker

    run_worker(pool=pool, name=name, limit=limit, with_healthcheck=with_healthcheck)


@app.command()
def deploy() -> None:
    """Set up the Prefect server at PREFECT_API_URL: work pool, queues, limits, deployments and triggers."""
    from adreel.cli import servers

    servers.deploy()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the storage, the key, its balance and the Prefect server. Exits 1 with advice if there is a problem."""
    from adreel.cli.servers import show_diagnosis

    raise typer.Exit(show_diagnosis(as_json=as_json))


@app.command()
def recover(
    silence: Annotated[
        float, typer.Option(min=40, help="Seconds without a heartbeat after which a run counts as dead")
    ] = 90,
    start: Annotated[
        float, typer.Option(min=10, help="Maximum seconds between a worker's claim of a run and its start")
    ] = 120,
    retries: Annotated[int, typer.Option(min=0, help="Maximum number of reschedules of a crashed run")] = 5,
) -> None:
    """Reschedule runs of dead workers and reconcile budgets until Ctrl-C. Keep one beside each Prefect server."""
    from adreel.cli.servers import recover_runs

    recover_runs(silence=silence, start=start, retries=retries)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line. An error becomes one line and an exit code: 2 for bad input, 3 over budget, else 1."""
    make_output_durable()
    code = 0
    try:
        # Modules in the current folder must not shadow the modules of child processes.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
        if not WITHOUT_SETTINGS & set(sys.argv[1:]):
            _use_environment()
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except AdreelError as error:
        _print_error(error)
        # A scene without a clip is no mistake in the command.
        code = 2 if isinstance(error, InputError) and not isinstance(error, SceneMissing) else 1
        if isinstance(error, OverBudget):
            code = 3
    except KeyboardInterrupt:
        typer.echo(
            "interrupted: Runware keeps rendering the accepted clips, and `adreel resume` downloads them", err=True
        )
        code = 130
    except Exception as error:
        if os.environ.get("ADREEL_DEBUG"):
            raise
        reason = "".join(traceback.format_exception_only(error)).strip()
        _print_error(
            AdreelError(f"this is a bug: {reason}; please report it with the traceback that ADREEL_DEBUG=1 prints"),
            "unexpected",
        )
        code = 1
    sys.stdout.flush()
    if reason := output_error():
        typer.echo(f"adreel: can't print to standard output: {reason}", err=True)
        if not PURCHASES & set(sys.argv[1:2]):
            code = code or 1
    sys.exit(code)


def _use_environment() -> None:
    from adreel.deployments.auth import DEFAULT_FOLDER, use_auth, use_studio
    from adreel.settings.env_file import read_env_file
    from adreel.settings.proxies import bypass_loopback

    bypass_loopback()
    # Prefect reads the file too: without a size limit, and with a traceback if it is not text.
    read_env_file()
    use_auth(os.environ)
    if FOR_STUDIO & set(sys.argv[1:2]) and (url := use_studio(os.environ)) and "--json" not in sys.argv:
        typer.echo(f"Using the studio in {DEFAULT_FOLDER}, with Prefect at {url.removesuffix('/api')}")


def _print_error(error: AdreelError, code: str = "") -> None:
    details: dict[str, Any] = {"code": code or error.code, "message": str(error)}
    lines = [f"adreel: {printable(str(error))}"]
    if isinstance(error, OverBudget):
        from adreel.cli.refusals import commands_of, refusal_of

        details |= refusal_of(error)
        if commands := commands_of(error):
            lines += ["These would go through:", *(f"  {printable(command)}" for command in commands)]
    if "--json" in sys.argv:
        import json

        typer.echo(json.dumps({"error": details}))
    typer.echo("\n".join(lines), err=True)
