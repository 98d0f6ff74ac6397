"""The container files, as those who run them read them: the image's settings, and the services of compose.yaml."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deployments" / "container"
COMPOSE = FOLDER / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True)
class Container:
    """One service of compose.yaml, with a .env put in."""

    name: str
    described: dict[str, Any]
    command: list[str]
    environment: dict[str, str]

    @property
    def is_ours(self) -> bool:
        """Whether it runs the project's own image."""
        return "build" in self.described

    @property
    def health_check(self) -> list[str] | None:
        """The command that says whether it is well."""
        test: list[str] | None = self.described.get("healthcheck", {}).get("test")
        return test[1:] if test else None


def containers(variables: Mapping[str, str]) -> dict[str, Container]:
    """Return the services, as compose would start them with these variables."""
    described = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: _container(name, service, variables) for name, service in described.items()}


@cache
def image() -> DockerfileParser:
    """Return the Containerfile, parsed."""
    with (FOLDER / "Containerfile").open("rb") as file:
        return DockerfileParser(fileobj=file, cache_content=True)


def entry_point() -> list[str]:
    """Return what every command of the image is started by."""
    found: list[str] = next(
        json.loads(line["value"]) for line in image().structure if line["instruction"] == "ENTRYPOINT"
    )
    return found


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Put the variables in, as compose does."""

    def value(match: re.Match[str]) -> str:
        name, mark, rest = match.groups()
        if found := variables.get(name):
            return found
        if mark == "-":
            return str(rest)
        raise KeyError(f"{name}: {rest or 'not set'}")

    return _VARIABLE.sub(value, text)


def _container(name: str, service: dict[str, Any], variables: Mapping[str, str]) -> Container:
    environment = {
        key: variables.get(key) if value is None else filled_in(value, variables)
        for key, value in service.get("environment", {}).items()
    }
    return Container(
        name=name,
        described=service,
        command=[filled_in(word, variables) for word in service.get("command", [])],
        environment={key: value for key, value in environment.items() if value is not None},
    )
