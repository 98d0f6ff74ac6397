"""The index: a SQLite file on this machine for lists, search and metrics, derived from the records.

It can be deleted at any time and is built again from the records. No purchase reads it.
"""

from adreel.index.campaigns import list_campaigns, read_campaign, read_grid, without_ads
from adreel.index.keeper import IndexKeeper
from adreel.index.queries import SORTS, SessionQuery, Sort
from adreel.index.session_index import SessionIndex
from adreel.index.spend import read_product_names, read_report, read_spend, usual_seconds

__all__ = [
    "SORTS",
    "IndexKeeper",
    "SessionIndex",
    "SessionQuery",
    "Sort",
    "list_campaigns",
    "read_campaign",
    "read_grid",
    "read_product_names",
    "read_report",
    "read_spend",
    "usual_seconds",
    "without_ads",
]
