"""The commands about budgets: `budget`, `budget set`, `budget remove` and `budget reconcile`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from adreel.cli.money import check_usd
from adreel.cli.options import Json
from adreel.cli.usage import CommandGroup
from adreel.models.budget_modes import BudgetMode

if TYPE_CHECKING:
    from adreel.spend.budgets import Budgets

budget_app = typer.Typer(name="budget", cls=CommandGroup, rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Argument(help="day, month, all, campaign:NAME or session:ID; days and months are in UTC")]


@budget_app.callback(invoke_without_command=True)
def budget(context: typer.Context, as_json: Json = False) -> None:
    """Show what each budget has spent, holds and has left."""
    if context.invoked_subcommand:
        return
    from adreel.cli.display import print_json, print_line, print_table
    from adreel.models.spend import show_usd, to_usd

    views = _open_budgets().views()
    if as_json:
        sums = ("cap", "spent", "held", "left", "over")
        rows = [asdict(view) | {name: to_usd(getattr(view, name)) for name in sums} for view in views]
        print_json({"budgets": rows})
        return
    if not views:
        print_line("There is no budget: set one with `adreel budget set day 5`")
        return
    headings = ("budget", "mode", "period", "cap", "spent", "held", "left", "note")
    lines = []
    for view in views:
        notes = [
            f"over by {show_usd(view.over)}" if view.over else "",
            f"{view.unknown} clips of unknown cost count with their estimates" if view.unknown else "",
            "still counts earlier spend: repeat `adreel budget set`" if view.is_counting else "",
        ]
        amounts = [show_usd(amount) for amount in (view.cap, view.spent, view.held, view.left)]
        lines.append((view.name, view.mode.value, view.period, *amounts, "; ".join(filter(None, notes))))
    print_table(headings, lines)


@budget_app.command("set")
def set_budget(
    name: Name,
    usd: Annotated[float, typer.Argument(min=0, max=1e9, callback=check_usd, help="Limit in USD")],
    mode: Annotated[
        BudgetMode, typer.Option(help="cap refuses what costs too much, warn says so and buys, observe counts")
    ] = BudgetMode.CAP,
) -> None:
    """Set a budget, or change its limit. A new one counts what its scope has spent in this period."""
    from adreel.cli.display import print_line
    from adreel.models.spend import show_usd, to_micros

    budgets = _open_budgets()
    budgets.set(name, to_micros(usd), mode)
    [view] = [view for view in budgets.views() if view.name == name]
    print_line(
        f"budget {name}: {show_usd(view.left)} left of {show_usd(view.cap)} ({view.mode}), {show_usd(view.spent)}"
        f" spent, {show_usd(view.held)} held"
    )


@budget_app.command("remove")
def remove_budget(name: Name) -> None:
    """Remove a budget. What was spent stays in the records."""
    _open_budgets().remove(name)


@budget_app.command()
def reconcile(as_json: Json = False) -> None:
    """Account for the clips of dead runs. Also releases what is held for tasks that will not be sent."""
    from adreel.cli.display import print_json, print_line, show_errors
    from adreel.errors import AdreelError

    broken: list[AdreelError] = []
    found = _open_budgets().reconcile(broken=broken)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found.settled} settled, {found.released} released, {found.open} still open")
    raise typer.Exit(show_errors(broken))


def _open_budgets() -> "Budgets":
    from adreel.records import Records
    from adreel.settings import Settings
    from adreel.spend.budgets import Budgets

    return Budgets(Records.of(Settings.load()))
