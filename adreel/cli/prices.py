"""The command that shows what clips would cost."""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from adreel.campaigns import campaign_name, is_campaign
from adreel.campaigns.prices import price_campaign
from adreel.cli.display import print_json, print_line, print_table
from adreel.errors import InputError, NotFound
from adreel.flows import in_process
from adreel.models.parts import Part, kind_of, shown_name
from adreel.models.sessions import ID_PATTERN, read_session
from adreel.models.spend import exact_usd, show_usd, sum_usd, to_micros, to_usd
from adreel.records import Records
from adreel.records.store import StoredSession
from adreel.settings import Settings
from adreel.spend.budgets import Budgets, BudgetView


def show_prices(
    source: str,
    scenes: Sequence[Part] | None,
    clip_price: float | None,
    *,
    voice: bool | None,
    music: bool | None,
    as_json: bool,
) -> None:
    """Print the price of each part of a session, or of the clips of a campaign in groups, and the total."""
    settings = Settings.load()
    records = Records.of(settings)
    stored = _stored_session(records, source)
    if stored is None and is_campaign(source):
        if scenes or voice is not None or music is not None:
            raise InputError(
                "--scene, --voice and --music are for one session: a campaign buys what its sessions ask for"
            )
        _show_campaign(settings, source, clip_price, as_json=as_json)
        return
    session = stored or read_session(Path(source))
    prices = in_process.price(session, scenes or None, voice=voice, music=music, clip_price=clip_price)
    total = sum_usd([each.usd for each in prices])
    budgets = Budgets(records).views_of(session.session_id, stored.campaign if stored else None)
    if as_json:
        print_json({"scenes": prices, "total": total, "is_local": settings.is_local, "budgets": _in_usd(budgets)})
        return
    rows = [
        (
            shown_name(each.scenario),
            each.model,
            _seconds(each.seconds),
            _usd(each.usd),
            _origin(each.source, each.as_of),
        )
        for each in prices
    ]
    what = "scene" if all(kind_of(each.scenario) == "clip" for each in prices) else "part"
    print_table((what, "model", "seconds", "USD", "source"), rows)
    _show_total(settings, total, f"1 {what}" if len(prices) == 1 else f"{len(prices)} {what}s")
    _show_budgets(budgets)


def _show_campaign(settings: Settings, source: str, clip_price: float | None, *, as_json: bool) -> None:
    ads, groups = price_campaign(settings, source, clip_price)
    total = sum_usd([group.total for group in groups])
    budgets = Budgets(Records.of(settings)).views_of(None, campaign_name(source))
    if as_json:
        document = {"ads": ads, "clips": groups, "total": total, "is_local": settings.is_local}
        print_json({**document, "budgets": _in_usd(budgets)})
        return
    rows = [
        (
            str(group.clips),
            group.model,
            _seconds(group.seconds),
            _usd(group.usd),
            _usd(group.total),
            _origin(group.source, group.as_of),
        )
        for group in groups
    ]
    print_table(("clips", "model", "seconds", "USD each", "USD", "source"), rows)
    _show_total(settings, total, f"{ads} ads")
    _show_budgets(budgets)


def _stored_session(records: Records, source: str) -> StoredSession | None:
    """Return the stored session of a name; None for a source that is no name or has a file."""
    if not re.fullmatch(ID_PATTERN, source) or Path(source).is_file():
        return None
    try:
        return records.session(source)
    except NotFound:
        if Path(source).exists():
            return None
        raise InputError(
            f"{source!r} is neither a session file, nor a campaign, nor a session in {records.place}"
        ) from None


def _in_usd(budgets: list[BudgetView]) -> list[dict[str, str | float]]:
    sums = ("cap", "spent", "held", "left")
    return [
        {"name": view.name, "mode": view.mode, **{name: to_usd(getattr(view, name)) for name in sums}}
        for view in budgets
    ]


def _show_budgets(budgets: list[BudgetView]) -> None:
    for view in budgets:
        print_line(f"budget {view.name} ({view.mode}): {show_usd(view.left)} left of {exact_usd(view.cap)}")


def _show_total(settings: Settings, total: float | None, what: str) -> None:
    if total is None:
        print_line(f"total of {what}: unknown. --price USD sets the price of a clip whose price is unknown.")
    else:
        print_line(f"total of {what}: USD {_usd(total)}, without retries of failed clips")
    if settings.is_local:
        print_line("No RUNWARE_API_KEY: the emulator renders, and no money is spent.")


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else exact_usd(to_micros(amount))


def _origin(source: str, as_of: date | None) -> str:
    return f"{source} {as_of}" if as_of else source


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:g}"
