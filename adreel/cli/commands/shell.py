"""The commands about the program itself: `version` and `completion`."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from adreel import __version__

COMPLETION = "_ADREEL_COMPLETE"
"""Variable in which the shell asks for the words that fit."""


class Shell(StrEnum):
    """A shell whose completion adreel has."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Shell that reads the script")]) -> None:
    """Print the script that completes words in a shell.

    For bash, put `eval "$(adreel completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for
    fish, `adreel completion fish | source` into ~/.config/fish/config.fish.
    """
    typer.echo(get_completion_script(prog_name="adreel", complete_var=COMPLETION, shell=shell.value))


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def print_version(wanted: bool) -> None:
    """Print the version and end the command, if its option is given."""
    if wanted:
        version()
        raise typer.Exit
