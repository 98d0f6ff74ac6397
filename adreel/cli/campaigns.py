"""The command `campaigns`: the progress, failures and costs of campaigns."""

from typing import TYPE_CHECKING, Annotated

import typer

from adreel.cli.options import Json
from adreel.cli.sessions import SHOWN, open_current_index
from adreel.errors import InputError
from adreel.models.session_states import LISTED_STATES

if TYPE_CHECKING:
    from adreel.models.campaigns import CampaignSummary

STATES = ", ".join(state for state in LISTED_STATES if state not in ("new", "unreadable"))
"""A campaign has started each of its ads."""


def campaigns(
    name: Annotated[str | None, typer.Argument(help="Campaign whose ads are listed, failed ones first")] = None,
    state: Annotated[str | None, typer.Option(help=f"Only ads in this state: {STATES}")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of campaigns or ads; 0 for all")] = SHOWN,
    as_json: Json = False,
) -> None:
    """Show the progress, costs and failures of campaigns."""
    from adreel.cli.display import print_json, print_line, print_table
    from adreel.index import list_campaigns, read_campaign
    from adreel.models.api import State
    from adreel.models.spend import money

    if state is not None and state not in set(State):
        raise InputError(f"--state is {state!r}: use one of {STATES}")
    if state is not None and name is None:
        raise InputError("--state chooses ads of one campaign: name the campaign")
    index = open_current_index()
    if name is None:
        listed = list_campaigns(index, limit=limit)
        if listed.notice:
            print_line(f"adreel: {listed.notice}", err=True)
        if as_json:
            print_json(listed.campaigns)
        elif not listed.campaigns:
            print_line(f"no campaigns in {index.records.place}")
        else:
            rows = [
                (each.name, str(each.ads), money(each.billed), f"{each.started_at:%Y-%m-%d %H:%M}", _progress(each))
                for each in listed.campaigns
            ]
            print_table(("campaign", "ads", "billed", "started (UTC)", "states"), rows)
            if listed.next:
                print_line(f"{len(listed.campaigns)} of {listed.total:,} campaigns; --limit 0 shows all")
        return
    page = read_campaign(index, name, state=State(state) if state else None, limit=limit)
    if page.notice:
        print_line(f"adreel: {page.notice}", err=True)
    if as_json:
        print_json(page)
        return
    if page.ads:
        print_table(
            ("session", "state", "billed", "product", "reason"),
            [(ad.session_id, ad.state, money(ad.billed), ad.product_name, ad.error or "") for ad in page.ads],
        )
    if page.next:
        print_line(f"the first {len(page.ads)} ads; --limit 0 shows all")
    unknown = f", and {page.campaign.unknown_bills} unknown bills" if page.campaign.unknown_bills else ""
    expected = f"(expected {money(page.campaign.estimated)})" if page.campaign.estimated else ""
    print_line(
        f"campaign {name}: {page.campaign.ads:,} ads: {_progress(page.campaign)};"
        f" billed {money(page.campaign.billed)} {expected}".rstrip()
        + unknown
    )


def _progress(campaign: "CampaignSummary") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in campaign.states.items())
