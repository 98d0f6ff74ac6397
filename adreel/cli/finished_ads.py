"""The commands about finished ads: `cut` and `deliver`."""

from pathlib import Path
from typing import Annotated

import typer

from adreel.cli.options import AllowMissing, Formats, Json, NoCaptions, Verbose
from adreel.errors import InputError


def cut(
    session: Annotated[
        str, typer.Argument(help="Id of a stored session, or a session file whose `cut` block replaces the stored one")
    ],
    formats: Formats = None,
    preset: Annotated[
        str | None, typer.Option(help="Placement, such as tiktok: its format and its safe area for captions")
    ] = None,
    no_captions: NoCaptions = False,
    allow_missing: AllowMissing = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make the finished ad of a session's current clips. Buys nothing; an unchanged ad is not made again."""
    from adreel.cli import jobs

    jobs.cut(
        session,
        [each.value for each in formats or ()],
        preset=preset,
        captions=not no_captions,
        allow_missing=allow_missing,
        as_json=as_json,
        verbose=verbose,
    )


def deliver(
    name: Annotated[str, typer.Argument(metavar="SESSION_ID|FILE", help="Stored session; with --check, a film")],
    presets: Annotated[
        list[str] | None, typer.Option("--preset", help="Placements, such as tiktok,reels,youtube; repeatable")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Folder or URL of the delivery, such as s3://client/spring")] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="Only check a film for placements. Exits 1 if one would refuse it")
    ] = None,
    formats: Formats = None,
    no_captions: NoCaptions = False,
    allow_missing: AllowMissing = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Copy the finished ad to a folder or a URL for placements. Adds a manifest and replaces nothing there."""
    from adreel.cli import deliveries

    if check:
        if presets or to or formats or no_captions or allow_missing:
            raise InputError("--check takes a film and no other option than --json")
        raise typer.Exit(deliveries.check(Path(name), check, as_json=as_json))
    if not presets or not to:
        raise InputError("name the placements and the destination: --preset tiktok,reels --to FOLDER_OR_URL")
    deliveries.deliver(
        name,
        presets,
        to,
        [each.value for each in formats or ()],
        captions=not no_captions,
        allow_missing=allow_missing,
        as_json=as_json,
        verbose=verbose,
    )
