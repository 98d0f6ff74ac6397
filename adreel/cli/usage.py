"""The help of the command line in groups, and one sentence for a command that can't be understood."""

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from adreel.text import closest

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base of the errors about commands, options and arguments. Typer exports only one of them."""


MOST_NAMES = 10_000
"""Stored sessions that are compared with a mistyped id."""


class CommandGroup(TyperGroup):
    """Commands whose help has a section for each `rich_help_panel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the help if a command is missing."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their first sentences, a section for each group."""
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        longest = max(map(len, self.commands))
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None)
            summary = command.get_short_help_str(formatter.width - longest - 4)
            sections[title if isinstance(title, str) else "Commands"].append((name.ljust(longest), summary))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def similar_session(message: str, words: Sequence[str]) -> str:
    """Return the stored session that a mistyped word of a command means; empty if none is like it.

    Only a local storage is listed: it costs nothing there.
    """
    given = next((word for word in words if re.fullmatch(r"[\w-]{1,64}", word) and f"'{word}'" in message), None)
    if given is None or " session" not in message:
        return ""
    from adreel.errors import AdreelError
    from adreel.flows.running import open_records

    with suppress(AdreelError):
        records = open_records()
        return closest(given, records.session_ids()[:MOST_NAMES]) if records.storage.is_local else ""
    return ""


def usage_message(error: Any) -> str:
    """Return what is wrong with a command, what was probably meant, and the command that prints the help."""
    message = error.format_message().removesuffix(".")
    if possibilities := getattr(error, "possibilities", None):
        given, choices, message = error.option_name, possibilities, error.message
    elif found := re.search(r"'([^']*)' is not one of (.*)$", message):
        given, choices = found[1], re.findall(r"'([^']*)'", found[2])
    else:
        given, choices = "", ()
    message = re.sub(r"\. Did you mean ('.*)\?$", lambda found: f": did you mean {found[1]}?", message)
    if similar := closest(given, choices):
        message += f": did you mean {similar}?"
    message = message[:1].lower() + message[1:].replace("float range", "number").replace(
        "integer range", "whole number"
    )
    path = error.ctx.command_path if error.ctx else "adreel"
    return f"{message}{' See' if message.endswith('?') else ': see'} `{path} -h`"
