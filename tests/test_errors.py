"""The tree of errors: its codes, its drawing, and what it says about trying again."""

import inspect

import pytest

from adreel import errors
from adreel.errors import AdreelError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AdreelError)]


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.__dict__.get("code") for kind in CLASSES]
    assert None not in codes
    assert len(set(codes)) == len(CLASSES)


def test_the_tree_drawn_at_the_top_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if name not in {kind.__name__ for kind in CLASSES}:
            continue
        depth = line.index(name)
        above = [(column, parent) for column, parent in above if column < depth]
        if above:
            drawn[name] = above[-1][1]
        above.append((depth, name))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not AdreelError}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_trying_again_costs_only_where_it_is_worth_trying(kind: type[AdreelError]) -> None:
    assert kind.retryable or not kind.costs
