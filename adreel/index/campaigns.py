"""Campaigns by the index: the states of their ads, their failures and costs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from adreel.errors import NotFound, StorageUnavailable
from adreel.index.database import Database
from adreel.index.queries import decode_cursor, encode_cursor
from adreel.index.reading import RANKS
from adreel.index.session_index import SessionIndex
from adreel.models.api import State
from adreel.models.campaigns import (
    CampaignAd,
    CampaignGrid,
    CampaignList,
    CampaignPage,
    CampaignProduct,
    CampaignSummary,
)
from adreel.models.spend import to_usd

_SUMS = "campaign, count(*), min(created_at), max(updated_at), total(estimated), total(billed), total(unknown_bills)"
_AD = "rank, session_id, product_name, variant, billed, unknown_bills, error, poster, updated_at"
_STATES = {rank: state for state, rank in RANKS.items()}
MAX_VARIANTS = 12
"""Maximum columns of a grid: ads in more variants are listed."""
_SUMS += "".join(f", total(rank = {RANKS[state]})" for state in State)


def list_campaigns(index: SessionIndex, *, limit: int = 20, after: str | None = None) -> CampaignList:
    """Return campaigns, the last one that was started first; `limit` 0 is no limit."""
    place = decode_cursor(after, "after", (int, str)) if after else [2**62, ""]

    def read() -> CampaignList:
        having = "HAVING (min(created_at), campaign) < (?, ?) ORDER BY min(created_at) DESC, campaign DESC"
        rows = index.database.read(
            f"SELECT {_SUMS} FROM ads GROUP BY campaign {having} LIMIT ?",  # noqa: S608 - only constants
            [*place, limit + 1 if limit else -1],
        )
        shown = rows[:limit] if limit else rows
        following = encode_cursor([shown[-1][2], shown[-1][0]]) if len(rows) > len(shown) else None
        campaigns = [_summary(row) for row in shown]
        return CampaignList(
            campaigns=campaigns, next=following, total=count_campaigns(index.database), notice=index.notice
        )

    return index.current(read)


def read_campaign(
    index: SessionIndex, name: str, *, state: State | None = None, limit: int = 20, after: str | None = None
) -> CampaignPage:
    """Return a campaign and a page of its ads, failed ones first; `limit` 0 is no limit. Raises NotFound."""
    place = decode_cursor(after, "after", (int, str)) if after else [-1, ""]

    def read() -> CampaignPage:
        campaign = _read_summary(index, name)
        where, values = "campaign = ? AND (rank, session_id) > (?, ?)", [name, *place]
        if state is not None:
            where += " AND rank = ?"
            values.append(RANKS[state])
        rows = index.database.read(
            f"SELECT {_AD} FROM ads WHERE {where} ORDER BY rank, session_id LIMIT ?",  # noqa: S608 - only constants
            [*values, limit + 1 if limit else -1],
        )
        shown = rows[:limit] if limit else rows
        following = encode_cursor(list(shown[-1][:2])) if len(rows) > len(shown) else None
        return CampaignPage(campaign=campaign, ads=list(map(_ad, shown)), next=following, notice=index.notice)

    return index.current(read)


def read_grid(index: SessionIndex, name: str, *, limit: int = 20, after: str | None = None) -> CampaignGrid | None:
    """Return a campaign and a page of its products, those with failed ads first. Raises NotFound.

    None if its ads are not those of products in up to MAX_VARIANTS variants.
    """
    place = decode_cursor(after, "after", (int, str)) if after else [-1, ""]

    def read() -> CampaignGrid | None:
        campaign = _read_summary(index, name)
        sql = "SELECT variant FROM ads WHERE campaign = ? GROUP BY variant ORDER BY min(created_at), variant LIMIT ?"
        variants = [variant for [variant] in index.database.read(sql, (name, MAX_VARIANTS + 1))]
        if "" in variants or len(variants) > MAX_VARIANTS:
            return None
        rows = index.database.read(
            "SELECT min(rank), product FROM ads WHERE campaign = ? GROUP BY product"
            " HAVING (min(rank), product) > (?, ?) ORDER BY 1, 2 LIMIT ?",
            [name, *place, limit + 1],
        )
        shown = rows[:limit]
        products = {product: CampaignProduct(product=product, ads={}) for _, product in shown}
        marks = ", ".join("?" * len(products))
        sql = f"SELECT product, {_AD} FROM ads WHERE campaign = ? AND product IN ({marks})"  # noqa: S608 - only marks
        for product, *row in index.database.read(sql, [name, *products]):
            ad = _ad(row)
            products[product].ads[ad.variant] = ad
        following = encode_cursor(list(shown[-1])) if len(rows) > len(shown) else None
        return CampaignGrid(
            campaign=campaign,
            variants=variants,
            products=list(products.values()),
            next=following,
            notice=index.notice,
        )

    return index.current(read)


def states_of_newest(database: Database, limit: int) -> dict[str, dict[State, int]]:
    """Return the number of ads by state of the campaigns that were started last."""
    sql = f"SELECT {_SUMS} FROM ads GROUP BY campaign ORDER BY min(created_at) DESC LIMIT ?"  # noqa: S608
    return {row[0]: _summary(row).states for row in database.read(sql, (limit,))}


def without_ads(index: SessionIndex, names: Sequence[str]) -> list[str]:
    """Return the campaigns of these that have no started ad."""

    def read() -> list[str]:
        # SQLite takes some thousand parameters at once.
        parts = [names[start : start + 500] for start in range(0, len(names), 500)]
        known: set[str] = set()
        for part in parts:
            marks = ", ".join("?" * len(part))
            rows = index.database.read(f"SELECT DISTINCT campaign FROM ads WHERE campaign IN ({marks})", part)  # noqa: S608
            known |= {name for [name] in rows}
        return [name for name in names if name not in known]

    return index.current(read)


def count_campaigns(database: Database) -> int:
    """Return the number of campaigns."""
    return int(database.read("SELECT count(DISTINCT campaign) FROM ads")[0][0])


def _read_summary(index: SessionIndex, name: str) -> CampaignSummary:
    sql = f"SELECT {_SUMS} FROM ads WHERE campaign = ? GROUP BY campaign"  # noqa: S608 - only constants
    found = index.database.read(sql, (name,))
    if not found:
        if notice := index.notice:
            raise StorageUnavailable(f"campaign {name!r} is not known yet. {notice}")
        raise NotFound(f"no campaign {name!r} with ads in {index.records.place}: see `adreel campaigns`")
    return _summary(found[0])


def _ad(row: Sequence[Any]) -> CampaignAd:
    rank, session_id, product_name, variant, billed, unknown_bills, error, poster, updated_at = row
    return CampaignAd(
        session_id=session_id,
        product_name=product_name,
        variant=variant,
        state=_STATES[rank],
        billed=to_usd(billed),
        unknown_bills=unknown_bills,
        error=error or None,
        poster_url=poster or None,
        updated_at=_moment(updated_at),
    )


def _summary(row: tuple[Any, ...]) -> CampaignSummary:
    name, ads, started_at, updated_at, estimated, billed, unknown, *counts = row
    return CampaignSummary(
        name=name,
        ads=ads,
        states={state: int(count) for state, count in zip(State, counts, strict=True) if count},
        estimated=to_usd(int(estimated)),
        billed=to_usd(int(billed)),
        unknown_bills=int(unknown),
        started_at=_moment(started_at),
        updated_at=_moment(updated_at),
    )


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
