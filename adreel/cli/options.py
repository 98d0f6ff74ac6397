"""Options and arguments that several commands have."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from adreel.errors import InputError
from adreel.models.parts import PARTS, find_part, shown_name
from adreel.models.scenarios import Scenario


class Shape(StrEnum):
    """A format of a cut. The models of the settings take too long to import for the help."""

    LANDSCAPE = "16:9"
    UPRIGHT = "9:16"
    SQUARE = "1:1"
    PORTRAIT = "4:5"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs")]
VERBOSE = {"--verbose", "-v"}
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of Prefect")]
Unchecked = Annotated[
    bool, typer.Option("--unchecked", help="Send requests that the catalogue of models advises against")
]
Scenes = Annotated[list[Scenario] | None, typer.Option("--scene", "-s", help="Only this scene; repeatable")]


def check_part(name: str) -> str:
    """Refuse what names no part."""
    try:
        return shown_name(find_part(name)) if name else name
    except InputError:
        choices = ", ".join(repr(shown_name(part)) for part in PARTS)
        raise typer.BadParameter(f"{name!r} is not one of {choices}") from None


def complete_part(start: str) -> list[str]:
    """Return the parts that begin so."""
    return [name for part in PARTS if (name := shown_name(part)).startswith(start)]


PartName = Annotated[
    str,
    typer.Argument(
        metavar="PART",
        autocompletion=complete_part,
        callback=check_part,
        help="hook, problem, solution or cta for a clip; voice:hook for its narration, still:hook for its still; music",
    ),
]
Narrated = Annotated[
    bool | None, typer.Option("--voice/--no-voice", help="Buy the narration too; by default if the session has a voice")
]
WithMusic = Annotated[
    bool | None, typer.Option("--music/--no-music", help="Buy music too; by default if the session asks for music")
]
NoCut = Annotated[bool, typer.Option("--no-cut", help="Make no finished ad of the clips")]
Formats = Annotated[list[Shape] | None, typer.Option("--format", help="Format in place of the session's; repeatable")]
NoCaptions = Annotated[bool, typer.Option("--no-captions", help="Leave the captions out")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Make a shorter ad if a scene has no clip")]
FileOrSession = Annotated[
    str,
    typer.Argument(
        metavar="FILE|SESSION_ID", help="Session file, YAML or JSON (see `adreel schema`), or id of a stored session"
    ),
]
SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of a stored session, see `adreel sessions`")]


def hide_prefect_logs() -> None:
    """Hide the log of Prefect, which reads this variable when it is imported."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
