"""Refusals for money: the sums in USD, and the commands that would go through."""

import re
import shlex
import sys
from typing import Any

from adreel.errors import OverBudget
from adreel.models.spend import to_usd

SAME_OPTION = {"-s": "--scene"}


def refusal_of(error: OverBudget) -> dict[str, Any]:
    """Return what was needed and left in USD, the budget, and the commands that would go through."""
    return {
        "needed": to_usd(error.needed),
        "left": to_usd(error.left),
        "budget": error.budget,
        "next": commands_of(error),
    }


def commands_of(error: OverBudget) -> list[str]:
    """Return the commands that would go through. Options and variables are put into the command that was refused."""
    return [_completed(command, sys.argv[1:]) for command in error.next]


def _completed(command: str, given: list[str]) -> str:
    if re.match(r"[A-Z_]+=", command):
        return f"{command} {shlex.join(['adreel', *given])}"
    if not command.startswith("--"):
        return command
    replaced = set(re.findall(r"--[a-z-]+", command))
    kept: list[str] = []
    words = iter(given)
    for word in words:
        name, is_joined, _ = word.partition("=")
        if SAME_OPTION.get(name, name) not in replaced:
            kept.append(word)
        elif not is_joined:
            next(words, None)
    return f"{shlex.join(['adreel', *kept])} {command}"
