"""The commands about the catalogue: `models`, `models show`, `models refresh` and `voices`."""

from typing import Annotated

import typer

from adreel.cli.options import Json
from adreel.cli.usage import CommandGroup

models_app = typer.Typer(name="models", cls=CommandGroup, rich_markup_mode=None, add_completion=False)


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    first_frame: Annotated[bool, typer.Option("--first-frame", help="Only models that start from an image")] = False,
    last_frame: Annotated[bool, typer.Option("--last-frame", help="Only models that end with an image")] = False,
    references: Annotated[bool, typer.Option("--references", help="Only models with reference images")] = False,
    sound: Annotated[
        bool | None, typer.Option("--sound/--no-sound", help="Only models with sound, or that can be silent")
    ] = None,
    aspect: Annotated[str | None, typer.Option(help="Only models with this aspect, such as 9:16")] = None,
    resolution: Annotated[str | None, typer.Option(help="Only models with this resolution, such as 1080p")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Only models with clips of this length")] = None,
    max_price: Annotated[float | None, typer.Option(min=0, help="Maximum price in USD per second")] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Also models of which it is not known, that are deprecated, or that render no scenes"
        ),
    ] = False,
    stills: Annotated[
        bool, typer.Option("--stills", help="List the image models for stills instead; other options don't apply")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the video models that fit, the cheapest first."""
    if context.invoked_subcommand:
        return
    if stills:
        from adreel.cli.addition_models import show_still_models

        show_still_models(as_json=as_json)
        return
    from adreel.catalog.selection import Needs
    from adreel.cli.models import show_models

    needs = Needs(
        first_frame=first_frame,
        last_frame=last_frame,
        references=references,
        sound=sound,
        aspect=aspect,
        resolution=resolution,
        seconds=seconds,
        max_price=max_price,
    )
    show_models(needs, everything=everything, as_json=as_json)


@models_app.command("show")
def show_model(
    air: Annotated[str, typer.Argument(help="Model as creator:family@version")], as_json: Json = False
) -> None:
    """Show what a model takes, its prices, and their sources."""
    from adreel.cli.models import show_model as show

    show(air, as_json=as_json)


@models_app.command("refresh")
def refresh_models(
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Keep the old facts of models whose pages can't be read")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the models and prices that Runware publishes today. Keeps them in the storage. Exits 1 if that fails."""
    from adreel.cli.models import refresh

    refresh(keep_going=keep_going, as_json=as_json)


def voices(
    model: Annotated[str | None, typer.Option(metavar="AIR", help="List all voices of this model")] = None,
    language: Annotated[
        str | None, typer.Option(help="Only models that are known to speak this language, such as de")
    ] = None,
    music: Annotated[bool, typer.Option("--music", help="List the models of music")] = False,
    as_json: Json = False,
) -> None:
    """List voices for narrations, and models of music, with prices."""
    from adreel.cli.voices import show_voices

    show_voices(model=model, language=language, music=music, as_json=as_json)
