"""The commands about guests of an ad: `share`, `shares`, `unshare` and `reviews`."""

import re
from typing import Annotated

import typer

from adreel.cli.options import Json, SessionId
from adreel.errors import InputError
from adreel.text import advise

DAYS = 14
"""Default of `ShareCreate.days`. Its module takes too long to import for the help."""


def share(
    session: SessionId,
    rights: Annotated[
        str, typer.Option(help="What the guest may do: view, comment, approve, download; comma-separated")
    ] = "view,comment,approve",
    days: Annotated[int, typer.Option(min=1, max=365, help="Days until the link expires")] = DAYS,
    label: Annotated[str, typer.Option(help="For whom it is; the guest does not see it")] = "",
    as_json: Json = False,
) -> None:
    """Make a link to an ad for a person without a key. The link is printed once and stored nowhere."""
    from pydantic import ValidationError

    from adreel.cli.display import print_json, print_line
    from adreel.flows.running import open_records
    from adreel.models.field_errors import describe
    from adreel.models.shares import Right, ShareCreate
    from adreel.records.sharing import create_share
    from adreel.settings import Settings

    chosen = [each.strip() for each in rights.split(",") if each.strip()]
    if unknown := [each for each in chosen if each not in set(Right)]:
        raise InputError(f"--rights has {unknown[0]!r}: {advise(unknown[0], Right)}")
    try:
        new = ShareCreate(rights=[Right(each) for each in dict.fromkeys(chosen)], days=days, label=label)
    except ValidationError as error:
        raise InputError(describe(error)) from None
    made = create_share(open_records(), session, new, Settings.load().public_link)
    if as_json:
        print_json(made)
        return
    print_line(made.url)
    what = f"share {session}.{made.share_id}: {', '.join(made.rights)}, until {made.expires_at:%Y-%m-%d %H:%M} UTC"
    print_line(what, err=True)
    if made.url.startswith("/"):
        print_line("put the address of `adreel serve` in front of it, or set ADREEL_PUBLIC_URL", err=True)


def shares(session: SessionId, as_json: Json = False) -> None:
    """List the links to an ad, the newest first. Exits 1 if a record is unreadable."""
    from adreel.cli.display import print_json, print_line, print_table, show_errors
    from adreel.errors import BadRecord
    from adreel.flows.running import open_records
    from adreel.records.sharing import list_shares

    found = list_shares(open_records(), session)
    if as_json:
        print_json(found.shares)
    elif not found.shares:
        print_line(f"no shares of {session}: adreel share {session}")
    else:
        rows = [
            (
                f"{each.session_id}.{each.share_id}",
                each.state,
                ",".join(each.rights),
                f"{each.expires_at:%Y-%m-%d %H:%M}",
                f"{each.last_seen_at:%Y-%m-%d %H:%M}" if each.last_seen_at else "never",
                each.label,
            )
            for each in found.shares
        ]
        print_table(("share", "state", "rights", "expires (UTC)", "last seen (UTC)", "label"), rows)
    raise typer.Exit(show_errors([BadRecord(reason) for reason in found.unreadable]))


def unshare(
    share: Annotated[str, typer.Argument(metavar="SHARE", help="As `adreel shares` prints it, or the link itself")],
) -> None:
    """End a link for good. What its guests have said stays."""
    from adreel.cli.display import print_line
    from adreel.flows.running import open_records
    from adreel.models.sessions import ID_PATTERN
    from adreel.records.sharing import revoke_share, share_id_of

    name = share.rpartition("/")[2]
    session_id, dot, share_id = name.partition(".")
    share_id = share_id_of(name) or share_id
    if not dot or not re.fullmatch(ID_PATTERN, session_id) or not re.fullmatch(ID_PATTERN, share_id):
        raise InputError(f"{share!r} is no share: give SESSION.SHARE as `adreel shares SESSION` prints it, or the link")
    ended = revoke_share(open_records(), session_id, share_id)
    print_line(f"share {session_id}.{ended.share_id} is {ended.state}: its link opens nothing any more")


def reviews(session: SessionId, as_json: Json = False) -> None:
    """List what the guests of an ad have said, the newest first. Exits 1 if a record is unreadable."""
    from adreel.cli.display import print_json, print_line, print_table, show_errors
    from adreel.errors import BadRecord
    from adreel.flows.running import open_records
    from adreel.models.shares import time_label
    from adreel.records.sharing import list_reviews

    found = list_reviews(open_records(), session)
    if as_json:
        print_json(found)
    elif not found.reviews:
        print_line(f"nobody has said anything about {session} yet")
    else:
        rows = [
            (
                f"{each.created_at:%Y-%m-%d %H:%M}",
                each.author,
                each.kind.replace("_", " "),
                each.state,
                " ".join(filter(None, (each.scenario, time_label(each.moment)))),
                " ".join(each.text.split()),
            )
            for each in found.reviews
        ]
        print_table(("when (UTC)", "guest", "kind", "state", "moment", "text"), rows)
        print_line(f"{session}: {'no decision' if found.state == 'none' else found.state.replace('_', ' ')}")
    raise typer.Exit(show_errors([BadRecord(reason) for reason in found.unreadable]))
