"""The examples of README.md and docs/: code blocks, inline code and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^(?: {4}.*)\n(?:\n+(?= {4}))?)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# `... && adreel x`, `(adreel x)`, `VARIABLE=1 adreel x`, `.venv/bin/adreel x`
COMMAND = re.compile(r"(?:^|[;&|(] *|\w=\S+ +|bin/)((?:adreel|make|python -m) +[^;&|)]*)")


@dataclass(frozen=True)
class Example:
    """A code block of a page, without its indentation."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def calls_the_server(self) -> bool:
        return "http://localhost:8000" in self.text

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each `adreel`, `make` and `python -m` command; drawings have none."""
        if any(mark in self.text for mark in "│▼"):
            return
        for line in self.text.replace("\\\n", " ").splitlines():
            for found in COMMAND.finditer(line.strip()):
                yield shlex.split(found[1], comments=True)


def examples(page: Path) -> list[Example]:
    """Return the fenced and the indented code blocks of a page."""
    text = page.read_text()
    without_fences = FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
    fenced = [Example(page, _line(text, match), match[1], match[2]) for match in FENCED.finditer(text)]
    indented = [
        Example(page, _line(without_fences, match), "", re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE))
        for match in INDENTED.finditer(without_fences)
    ]
    return fenced + indented


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def inline_commands(page: Path) -> list[str]:
    """Return the inline code that begins like a command."""
    text = FENCED.sub("", page.read_text())
    return [span for span in INLINE.findall(text) if COMMAND.match(span)]
