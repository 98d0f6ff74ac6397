"""What a report of spend can have a line for."""

from enum import StrEnum


class Group(StrEnum):
    """Takes with the same one are summed up in a line."""

    CAMPAIGN = "campaign"
    SESSION = "session"
    DAY = "day"
    MODEL = "model"
    SCENE = "scene"
