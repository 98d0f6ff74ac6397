"""The commands that read and maintain the records."""

from pathlib import Path
from typing import Annotated

import typer

from adreel.cli.options import Json, PartName, SessionId, check_part, complete_part
from adreel.models.parts import find_part


def status(
    name: Annotated[str, typer.Argument(metavar="JOB_ID|SESSION_ID", help="Stored session, or a job of one")],
    as_json: Json = False,
) -> None:
    """Show a job or a session. Prints the reason and the next command for each failed scene."""
    from adreel.cli.records import show_status

    show_status(name, as_json=as_json)


def takes(
    session_id: SessionId,
    part: Annotated[
        str,
        typer.Argument(
            metavar="[PART]",
            autocompletion=complete_part,
            callback=check_part,
            help="Only this part: hook, voice:hook, still:hook, music, ...",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """List the takes of a session."""
    from adreel.cli.records import show_takes

    show_takes(session_id, find_part(part) if part else None, as_json=as_json)


def use(
    session_id: SessionId,
    part: PartName,
    take: Annotated[str, typer.Argument(help="Take as shown by `adreel takes`, or the id of its job")],
) -> None:
    """Make an older take the current one. A still becomes the first frame of its scene."""
    from adreel.cli.records import use_take

    use_take(session_id, find_part(part), take)


def verify(
    checksums: Annotated[bool, typer.Option(help="Read the content of each file, not only its name")] = True,
    as_json: Json = False,
) -> None:
    """Check every record and clip. Exits 1 if any is unreadable, missing, changed, orphaned or left over."""
    from adreel.cli.records import show_findings

    raise typer.Exit(show_findings(checksums=checksums, as_json=as_json))


def fetch(
    session_id: SessionId,
    to: Annotated[Path | None, typer.Option(help="Folder for the clips, by default named after the session")] = None,
    as_json: Json = False,
) -> None:
    """Copy the clips and the finished ad to this machine. Exits 1 if a scene has no clip yet."""
    from adreel.cli.records import fetch_clips

    raise typer.Exit(fetch_clips(session_id, to or Path(session_id), as_json=as_json))


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
