"""The command `adreel`: its commands in groups, and the conversion of errors to exit codes."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from adreel.cli.budgets import budget_app
from adreel.cli.campaigns import campaigns
from adreel.cli.catalog import models_app, voices
from adreel.cli.commands.jobs import campaign, generate, narrate, prompt, regenerate, resume, stills
from adreel.cli.commands.records import fetch, prune, status, takes, use, verify
from adreel.cli.commands.servers import deploy, doctor, local_runware, recover, serve, up, worker
from adreel.cli.commands.shell import COMPLETION, completion, print_version, version
from adreel.cli.finished_ads import cut, deliver
from adreel.cli.money import price
from adreel.cli.new_ads import new, schema, templates
from adreel.cli.options import VERBOSE, hide_prefect_logs
from adreel.cli.output import make_output_durable, output_error, printable
from adreel.cli.sessions import archive, delete, index_app, sessions
from adreel.cli.shares import reviews, share, shares, unshare
from adreel.cli.spend import spend
from adreel.cli.usage import CommandGroup, UsageError, similar_session, usage_message
from adreel.errors import AdreelError, InputError, OverBudget, SceneMissing

PURCHASES = {"generate", "narrate", "stills", "campaign", "regenerate", "resume"}
"""Commands whose exit code reports the purchase alone, not whether the result could be printed."""
FOR_STUDIO = PURCHASES | {"cut", "deliver", "doctor"}
"""Commands that use the studio of the current folder, if one runs and no other server is set."""
WARM = {"generate", "narrate", "stills", "regenerate", "resume"}
"""Commands that run in a process of the studio's fork server, whose imports are done."""
WITHOUT_SETTINGS = {"--help", "-h", "--version", "schema", "templates", "version", "completion"}
"""Arguments with which no settings are read."""
INTERRUPTED = 130

app = typer.Typer(
    name="adreel",
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def adreel(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and exit")
    ] = False,
) -> None:
    """Buys the four clips of a video ad from Runware, each at most once, and makes the finished ad."""


GROUPS: dict[str, list[Callable[..., None] | typer.Typer]] = {
    "Start an ad": [new, templates, schema, prompt, price, models_app, voices],
    "Buy its clips": [stills, generate, narrate, regenerate, resume, campaign],
    "Look, and choose takes": [status, sessions, campaigns, takes, use],
    "Finish and share it": [cut, deliver, fetch, share, shares, unshare, reviews],
    "Money": [budget_app, spend],
    "Keep the storage in order": [archive, delete, verify, prune, index_app],
    "Run servers": [up, serve, worker, deploy, recover, doctor, local_runware],
    "This program": [completion, version],
}
for title, commands in GROUPS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=command.info.name, rich_help_panel=title)
        else:
            app.command(rich_help_panel=title)(command)


def main() -> None:
    """Run the command line. An error becomes one line and an exit code: 2 for bad input, 3 over budget, else 1."""
    make_output_durable()
    code = 0
    try:
        # Modules in the current folder must not shadow the modules of child processes.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
        if COMPLETION in os.environ:
            completion_init()
        elif not WITHOUT_SETTINGS & set(sys.argv[1:]):
            _use_environment()
        # Without its standalone mode, Typer raises errors of usage and returns the exit code.
        code = app(standalone_mode=False) or 0
    except UsageError as error:
        _print_error(InputError(usage_message(error)), "usage")
        code = 2
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except AdreelError as error:
        similar = similar_session(str(error), sys.argv[2:]) if isinstance(error, InputError) else ""
        _print_error(type(error)(f"{error}; did you mean {similar}?") if similar else error)
        # A scene without a clip is no mistake in the command.
        code = 2 if isinstance(error, InputError) and not isinstance(error, SceneMissing) else 1
        if isinstance(error, OverBudget):
            code = 3
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if os.environ.get("ADREEL_DEBUG"):
            raise
        reason = "".join(traceback.format_exception_only(error)).strip()
        _print_error(
            AdreelError(f"this is a bug: {reason}; please report it with the traceback that ADREEL_DEBUG=1 prints"),
            "unexpected",
        )
        code = 1
    if code == INTERRUPTED:
        # A second Ctrl-C ends the process at once, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        buys = PURCHASES & set(sys.argv[1:2])
        rest = ": accepted clips keep rendering, and `adreel resume` downloads them" if buys else ""
        typer.echo(f"interrupted{rest}", err=True)
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
    url = use_studio(os.environ) if FOR_STUDIO & set(sys.argv[1:2]) else None
    if url and "--json" not in sys.argv:
        typer.echo(f"Using the studio in {DEFAULT_FOLDER}, with Prefect at {url.removesuffix('/api')}")
    if url and WARM & set(sys.argv[1:2]):
        from adreel.deployments.handover import hand_over

        if not VERBOSE & set(sys.argv):
            hide_prefect_logs()
        sys.stdout.flush()
        if (code := hand_over(DEFAULT_FOLDER)) is not None:
            # The other process has printed everything.
            os._exit(code)


def _print_error(error: AdreelError, code: str = "") -> None:
    details: dict[str, Any] = {"code": code or error.code, "message": str(error)}
    lines = [f"adreel: {line}" for line in printable(str(error)).splitlines() or [error.code]]
    if isinstance(error, OverBudget):
        from adreel.cli.refusals import commands_of, refusal_of

        details |= refusal_of(error)
        if commands := commands_of(error):
            lines += ["These would go through:", *(f"  {printable(command)}" for command in commands)]
    if "--json" in sys.argv:
        import json

        typer.echo(json.dumps({"error": details}))
    typer.echo("\n".join(lines), err=True)
