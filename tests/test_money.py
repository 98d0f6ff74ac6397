"""Sums of money for people: cents, and more digits where cents would hide the sum."""

import pytest

from adreel.cli.display import cost_beside_estimate
from adreel.models.spend import money, show_cost


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (0.0011, "$0.0011"),
        (0.0042, "$0.0042"),
        (0.000123, "$0.00012"),
        (0.000001, "$0.000001"),
        (0.00996, "$0.01"),
        (0.01, "$0.01"),
        (0.0142, "$0.01"),
        (0.42, "$0.42"),
        (12.345, "$12.35"),
    ],
)
def test_less_than_a_cent_is_shown_with_two_digits(usd: float | None, shown: str) -> None:
    assert money(usd) == shown


@pytest.mark.parametrize(
    ("billed", "shown"),
    [(0, "not known yet"), (0.00119, "at least $0.0011"), (0.4299, "at least $0.42"), (2, "at least $2.00")],
)
def test_the_least_cost_is_rounded_down(billed: float, shown: str) -> None:
    assert show_cost(None, billed) == shown


@pytest.mark.parametrize(
    ("cost", "estimate", "shown"),
    [
        (0.0011, 0.0011, "$0.0011"),
        (0.0011, None, "$0.0011"),
        (0.0011, 0.0014, "$0.0011 (expected $0.0014)"),
        (0.00111, 0.00112, "$0.00111 (expected $0.00112)"),
        (0.42, 0.63, "$0.42 (expected $0.63)"),
        (0.6312, 0.6328, "$0.6312 (expected $0.6328)"),
    ],
)
def test_a_bill_beside_its_estimate_can_be_told_from_it(cost: float, estimate: float | None, shown: str) -> None:
    assert cost_beside_estimate(cost, estimate, cost) == shown
