"""The commands about the list of sessions: `sessions`, `index rebuild` and `index check`."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from adreel.cli.options import Json, SessionId
from adreel.cli.usage import CommandGroup
from adreel.errors import InputError
from adreel.models.session_states import LISTED_STATES
from adreel.text import advise

if TYPE_CHECKING:
    from adreel.index import SessionIndex

SHOWN = 20
"""Sessions that a person sees without --limit. Programs get all."""
PROGRESS_SECONDS = 2.0
NAMES_COMPARED = 10_000
"""Maximum number of sessions for which a command lists all names, so that a copied one shows at once."""

index_app = typer.Typer(name="index", cls=CommandGroup, rich_markup_mode=None, add_completion=False)


def sessions(
    limit: Annotated[
        int | None, typer.Option(min=0, help="Maximum number; 0 for all. By default 20, and all with --json")
    ] = None,
    search: Annotated[str, typer.Option(help="Words that the id, the product or the campaign contain")] = "",
    state: Annotated[str | None, typer.Option(help=f"Only in this state: {', '.join(LISTED_STATES)}")] = None,
    campaign: Annotated[str, typer.Option(help="Only of this campaign")] = "",
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Changed since this UTC time")
    ] = None,
    sort: Annotated[str, typer.Option(help="created, updated, cost or id; - in front puts the largest first")] = (
        "-created"
    ),
    as_json: Json = False,
) -> None:
    """List the stored sessions, the newest first. Exits 1 if one of them is unreadable."""
    from adreel.cli.display import print_json, print_line, print_table, show_errors
    from adreel.errors import BadRecord
    from adreel.index import SessionQuery, Sort
    from adreel.models.spend import show_cost

    if sort not in get_args(Sort):
        raise InputError(f"--sort is {sort!r}: {advise(sort, get_args(Sort))}")
    if state is not None and state not in LISTED_STATES:
        raise InputError(f"--state is {state!r}: {advise(state, LISTED_STATES)}")
    index = open_current_index()
    if limit is None:
        limit = 0 if as_json else SHOWN
    since_utc = since.replace(tzinfo=UTC) if since else None
    page = index.page(SessionQuery(search, state, campaign, since_utc, sort, limit))  # type: ignore[arg-type]
    if page.notice:
        print_line(f"adreel: {page.notice}", err=True)
    if as_json:
        # Programs may compare the output with that of earlier versions, in which the time is the last key.
        rows: list[Any] = [
            {**view.model_dump(exclude={"updated_at"}), "updated_at": view.updated_at} for view in page.sessions
        ]
        print_json(rows)
    elif not page.total:
        chosen = "no session matches" if search or state or campaign or since else "no sessions"
        print_line(f"{chosen} in {index.records.place}")
    else:
        print_table(
            ("session", "state", "cost", "product"),
            [
                (
                    view.session_id,
                    view.state or "new",
                    show_cost(view.cost, view.billed) if view.state or view.billed else "-",
                    view.product_name,
                )
                for view in page.sessions
            ],
        )
        if page.next:
            print_line(f"{len(page.sessions)} of {page.total:,} sessions; --limit 0 shows all")
    raise typer.Exit(show_errors([BadRecord(reason) for reason in page.unreadable]))


def archive(
    session: SessionId,
    restore: Annotated[bool, typer.Option("--restore", help="Bring it back into the lists")] = False,
) -> None:
    """Take an ad out of the lists. Nothing is bought for it then; its clips stay. --restore brings it back."""
    from adreel.cli.display import print_line
    from adreel.flows.running import open_records
    from adreel.records.archiving import archive_session, restore_session

    if restore:
        restore_session(open_records(), session)
        print_line(f"{session} is in the lists again")
    else:
        archive_session(open_records(), session)
        print_line(f"{session} is archived: adreel sessions --state archived; adreel archive {session} --restore")


def delete(session: SessionId) -> None:
    """Delete an ad for which no clip was ever ordered. Others can be archived."""
    from adreel.cli.display import print_line
    from adreel.flows.running import open_records
    from adreel.records.deleting import delete_session

    delete_session(open_records(), session)
    print_line(f"{session} is deleted")


@index_app.callback()
def index() -> None:
    """Build or check the index that lists are read from. It can be deleted at any time."""


@index_app.command()
def rebuild(as_json: Json = False) -> None:
    """Read all sessions into a new index."""
    from adreel.cli.display import print_json, print_line

    index = _open_index()
    index.rebuild(_Progress())
    if as_json:
        print_json({"sessions": index.count, "file": str(index.database.path or "")})
    else:
        print_line(f"{index.count:,} sessions in {index.database.path or 'memory: the cache folder is not writable'}")


@index_app.command()
def check(as_json: Json = False) -> None:
    """Compare the index with the records. Exits 1 if they differ."""
    from adreel.cli.display import print_json, print_line

    index = _open_index()
    index.update(_Progress())
    findings = index.check()
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            print_line(finding)
        print_line(f"{len(findings)} differences in {index.count:,} sessions")
    raise typer.Exit(1 if findings else 0)


def open_current_index() -> "SessionIndex":
    """Return the index of the storage, once it has caught up."""
    index = _open_index()
    index.update(_Progress())
    if index.count <= NAMES_COMPARED:
        index.refresh_names()
    return index


def _open_index() -> "SessionIndex":
    from adreel.flows.running import open_records
    from adreel.index import SessionIndex

    return SessionIndex(open_records())


class _Progress:
    """Prints how far the building of an index is, on stderr, if it lasts for seconds."""

    def __init__(self) -> None:
        self._printed_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._printed_at > PROGRESS_SECONDS:
            typer.echo(f"the index is being built: {done:,} of {total:,} sessions", err=True)
            self._printed_at = time.monotonic()
