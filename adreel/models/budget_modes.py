"""What a budget can do. The command line offers the modes in its help, without the models of budgets."""

from enum import StrEnum


class BudgetMode(StrEnum):
    """What a budget does with a purchase that it has no money for: count it, warn of it, or refuse it."""

    OBSERVE = "observe"
    WARN = "warn"
    CAP = "cap"
