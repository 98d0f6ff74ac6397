"""The options of the commands about money."""

import math
from typing import Annotated

import typer

from adreel.cli.options import Json, Narrated, Scenes, Unchecked, WithMusic


def check_usd(usd: float | None) -> float | None:
    """Refuse what is no amount. A range lets nan through."""
    if usd is not None and not math.isfinite(usd):
        raise typer.BadParameter(f"{usd} is no amount of USD: give a number, such as 2.50")
    return usd


ClipPrice = Annotated[
    float | None,
    typer.Option(
        "--price",
        metavar="USD",
        min=0,
        callback=check_usd,
        help="USD of each clip whose price is unknown; unknown is never free",
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        min=0,
        callback=check_usd,
        help="Most USD to spend, retries included. More is refused before it is sent",
    ),
]


def price(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CAMPAIGN|SESSION_ID", help="Session file, source of a campaign, or stored session"
        ),
    ],
    scenes: Scenes = None,
    voice: Narrated = None,
    music: WithMusic = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
) -> None:
    """Show what an ad would cost, and where each price is from. Nothing is sent, bought or written."""
    from adreel.cli.jobs import use_catalog
    from adreel.cli.prices import show_prices

    use_catalog(is_unchecked=unchecked)
    show_prices(source, scenes, clip_price, voice=voice, music=music, as_json=as_json)
