"""The four scenarios of an ad, in their order."""

from enum import StrEnum


class Scenario(StrEnum):
    """One of the four parts of an ad."""

    HOOK = "hook"
    PROBLEM = "problem"
    SOLUTION = "solution"
    CTA = "cta"
