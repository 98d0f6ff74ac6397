"""docs/reliability.md: its tables are what the rigs have counted."""

from tests.rigs.tally import PAGE, page


def test_the_tables_are_those_that_the_rigs_have_written() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "write them anew: python -m tests.rigs.tally"
