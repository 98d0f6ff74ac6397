"""Reads a page as a person without script does: its words, its forms, and what is where."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

COMMANDS = re.compile(r"`|(?<!\S)--[a-z]|\b(ADREEL|RUNWARE|PREFECT)_[A-Z]|\badreel [a-z]|[\^\\]\[|\[[a-z]-[a-z]")
"""What no page says to people: commands, options, environment variables, patterns."""


@dataclass
class Form:
    """A form with what it would send; buttons by their words without a price, with what pressing one adds."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, dict[str, str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


class PageReader(HTMLParser):
    """A page that was parsed; `tags` are its elements with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self._words: list[str] = []
        self._open = self._selected = ""
        self._is_in_form = False
        self._text: list[str] = []
        self._price = 0
        self._pressed: dict[str, str] = {}
        self.feed(html)

    @property
    def text(self) -> str:
        """All words of the page, with single spaces."""
        return " ".join(" ".join(self._words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def by_id(self, identifier: str) -> dict[str, str]:
        """Return the attributes of the element with an id."""
        return next(attributes for _, attributes in self.tags if attributes.get("id") == identifier)

    def form(self, action: str, button: str) -> Form:
        """Return the form that goes to an address and has a button."""
        return next(form for form in self.forms if form.action.partition("?")[0] == action and button in form.buttons)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag == "form":
            self.forms.append(Form(attributes["action"]))
            self._is_in_form = True
        elif tag == "input" and self._is_in_form and attributes.get("type") in {"radio", "checkbox"}:
            if "checked" in attributes:
                self.forms[-1].fields[attributes["name"]] = attributes["value"]
        elif tag == "input" and self._is_in_form and attributes.get("type") == "file":
            self.forms[-1].files.append(attributes["name"])
        elif tag == "input" and self._is_in_form and "disabled" not in attributes:
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "select":
            self._selected = attributes["name"]
            self.forms[-1].fields[self._selected] = ""
        elif tag == "option" and "selected" in attributes:
            self.forms[-1].fields[self._selected] = attributes["value"]
        elif tag in {"textarea", "button"}:
            self._open, self._text, self._pressed, self._price = tag, [], attributes, 0
        elif tag == "span" and attributes.get("class") == "price":
            self._price = len(self._text)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_in_form = False
        if tag != self._open:
            return
        text, self._open = "".join(self._text), ""
        if tag == "textarea":
            self.forms[-1].fields[self._pressed["name"]] = text.removeprefix("\n")
        elif self._is_in_form:
            adds = {self._pressed["name"]: self._pressed["value"]} if "name" in self._pressed else {}
            words = "".join(self._text[: self._price or None])
            self.forms[-1].buttons[" ".join(words.split())] = adds

    def handle_data(self, data: str) -> None:
        self._words.append(data)
        self._text.append(data)
