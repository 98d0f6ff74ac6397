"""Options and arguments that several commands have."""

import os
from enum import StrEnum
from typing import Annotated

import typer

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
NoCut = Annotated[bool, typer.Option("--no-cut", help="Make no finished ad of the clips")]
Formats = Annotated[list[Shape] | None, typer.Option("--format", help="Format in place of the session's; repeatable")]
NoCaptions = Annotated[bool, typer.Option("--no-captions", help="Leave the captions out")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Make a shorter ad if a scene has no clip")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="Id of a stored session, see `adreel sessions`")]


def hide_prefect_logs() -> None:
    """Hide the log of Prefect, which reads this variable when it is imported."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
