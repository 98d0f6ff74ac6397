"""The commands that buy clips, and `prompt`, which shows what they would send."""

from pathlib import Path
from typing import Annotated

import typer

from adreel.cli.money import ClipPrice, MaxCost, check_usd
from adreel.cli.options import Json, NoCut, Scenes, SessionId, Unchecked, Verbose
from adreel.errors import InputError
from adreel.models.scenarios import Scenario

IMAGE = "a PNG, JPEG or WebP file or an https URL"


def generate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Session file, YAML or JSON; see `adreel schema`")],
    scenes: Scenes = None,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes of scenes that have takes already")] = False,
    unchecked: Unchecked = False,
    no_cut: NoCut = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy the clips of a session file and make the finished ad."""
    from adreel.cli import jobs

    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(
        jobs.generate(file, scenes, again=again, cut=not no_cut, limits=limits, as_json=as_json, verbose=verbose)
    )


def regenerate(
    session_id: SessionId,
    scenario: Annotated[Scenario, typer.Argument(help="Scene to buy again")],
    visual_description: Annotated[str | None, typer.Option("--prompt", help="Visual description")] = None,
    model: Annotated[str | None, typer.Option(help="Video model, as creator:family@version")] = None,
    aspect: Annotated[str | None, typer.Option(help="Shape, such as 9:16")] = None,
    resolution: Annotated[str | None, typer.Option(help="Resolution, such as 1080p")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, instead of aspect and resolution")] = None,
    duration: Annotated[float | None, typer.Option("--seconds", help="Length")] = None,
    sound: Annotated[bool | None, typer.Option("--sound/--no-sound", help="Whether the clip has sound")] = None,
    first_frame: Annotated[str | None, typer.Option(help=f"Image to start from, {IMAGE}")] = None,
    last_frame: Annotated[str | None, typer.Option(help=f"Image to end with, {IMAGE}")] = None,
    references: Annotated[
        list[str] | None, typer.Option("--reference", help=f"Image of what to keep, {IMAGE}; repeatable")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What must not be seen")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed")] = None,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy a new take of one scene. Options change it for this take only. Earlier takes and other scenes are kept."""
    from adreel.cli import jobs

    options = {
        "visual_description": visual_description,
        "model": model,
        "aspect": aspect,
        "resolution": resolution,
        "size": size,
        "duration": duration,
        "sound": sound,
        "first_frame": first_frame,
        "last_frame": last_frame,
        "references": references,
        "negative_prompt": negative_prompt,
        "seed": seed,
    }
    changes = {name: value for name, value in options.items() if value is not None and value != []}
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(jobs.regenerate(session_id, scenario, changes, limits=limits, as_json=as_json, verbose=verbose))


def resume(
    target: Annotated[
        str | None, typer.Argument(metavar="[SESSION_ID|JOB_ID]", help="Stored session, or a job of one")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Resume all jobs in the storage")] = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Resume open jobs. Clips that Runware has accepted are downloaded, the others are bought."""
    from adreel.cli import jobs

    if everything == (target is not None):
        raise InputError("name a session or a job to resume, or --all")
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(jobs.resume(target or "all", limits=limits, as_json=as_json, verbose=verbose))


def campaign(
    source: Annotated[
        str,
        typer.Argument(
            help="Path or URL of the sessions: a .jsonl file, a folder of session files, or a .yaml or .json file of"
            " products and variants"
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the campaign, by default that of the file")] = "",
    window: Annotated[int, typer.Option(min=4, help="Maximum number of scenes in flight")] = 200,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes of scenes that other jobs have bought")] = False,
    parts: Annotated[
        int | None, typer.Option(min=1, help="Start this many runs on the server at PREFECT_API_URL")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="USD",
            min=0,
            callback=check_usd,
            help="Refuse the campaign if its clips would cost more USD. Retries come on top: a budget limits them",
        ),
    ] = None,
    clip_price: ClipPrice = None,
    unchecked: Unchecked = False,
    no_cut: NoCut = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Generate the ads of many sessions. To continue after an interruption, repeat the command."""
    from adreel.cli import jobs

    if parts and unchecked:
        raise InputError("--parts starts runs of workers: set ADREEL_CATALOG=unchecked for them, not --unchecked")
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    if parts:
        jobs.start_campaign(
            source, name, window=window, again=again, cut=not no_cut, parts=parts, limits=limits, as_json=as_json
        )
    else:
        raise typer.Exit(
            jobs.campaign(
                source,
                name,
                window=window,
                again=again,
                cut=not no_cut,
                limits=limits,
                as_json=as_json,
                verbose=verbose,
            )
        )


def prompt(
    source: Annotated[str, typer.Argument(metavar="FILE|SESSION_ID", help="Session file, or id of a stored session")],
    scenes: Scenes = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
) -> None:
    """Print the request of each scene and its warnings. Nothing is bought or written."""
    from adreel.cli.jobs import use_catalog
    from adreel.cli.prompts import show_prompts

    use_catalog(is_unchecked=unchecked)
    show_prompts(source, scenes, as_json=as_json)
