"""The commands that buy clips, and `prompt`, which shows what they would send."""

from typing import Annotated, Any

import typer

from adreel.cli.money import ClipPrice, MaxCost, check_usd
from adreel.cli.options import (
    FileOrSession,
    Json,
    Narrated,
    NoCut,
    PartName,
    Scenes,
    SessionId,
    Unchecked,
    Verbose,
    WithMusic,
)
from adreel.errors import InputError
from adreel.models.parts import Addition, find_part

IMAGE = "a PNG, JPEG or WebP file or an https URL"


def generate(
    source: FileOrSession,
    scenes: Scenes = None,
    again: Annotated[bool, typer.Option("--again", help="Buy new takes of scenes that have takes already")] = False,
    voice: Narrated = None,
    music: WithMusic = None,
    unchecked: Unchecked = False,
    no_cut: NoCut = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy the clips of a session and make the finished ad.

    The narrations and the music are bought too, if the session or an option asks for them.
    """
    from adreel.cli import jobs

    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    options = {"again": again, "voice": voice, "music": music, "cut": not no_cut, **limits}
    raise typer.Exit(jobs.generate(source, scenes, options=options, as_json=as_json, verbose=verbose))


def narrate(
    source: FileOrSession,
    scenes: Scenes = None,
    music: Annotated[bool, typer.Option("--music", help="Buy the music too")] = False,
    again: Annotated[bool, typer.Option("--again", help="Buy again what has not changed")] = False,
    no_cut: NoCut = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy the narrations that are missing or have changed. The finished ad is made anew.

    A narration has changed if the session has other words, another voice, language or speed for it than its current
    take.
    """
    from adreel.cli import additions

    raise typer.Exit(
        additions.narrate(
            source,
            scenes,
            music=music,
            again=again,
            cut=not no_cut,
            limits={"max_cost": max_cost, "clip_price": clip_price},
            as_json=as_json,
            verbose=verbose,
        )
    )


def stills(
    source: FileOrSession,
    scenes: Scenes = None,
    again: Annotated[bool, typer.Option("--again", help="Buy again what has not changed")] = False,
    max_cost: MaxCost = None,
    clip_price: ClipPrice = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Buy a still of each scene, to look at before its clip.

    `adreel use SESSION_ID still:hook TAKE` makes one the first frame of the clips that are bought later.
    """
    from adreel.cli import additions

    raise typer.Exit(
        additions.stills(
            source,
            scenes,
            again=again,
            limits={"max_cost": max_cost, "clip_price": clip_price},
            as_json=as_json,
            verbose=verbose,
        )
    )


def regenerate(
    session_id: SessionId,
    part: PartName,
    prompt: Annotated[str | None, typer.Option(help="What it shows; for music, its style")] = None,
    words: Annotated[str | None, typer.Option(help="The words of the narration")] = None,
    voice: Annotated[str | None, typer.Option(help="Narrator, as `adreel voices` lists them")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the narration, such as de")] = None,
    speed: Annotated[float | None, typer.Option(help="Speed of the narrator; 1 is their own")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the part, as creator:family@version")] = None,
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
    """Buy a new take of one part. Options change it for this take only. Earlier takes and other parts are kept."""
    from adreel.cli import jobs

    wanted = find_part(part)
    options = {
        "background_music" if wanted == Addition.MUSIC else "visual_description": prompt,
        "dialog_narration": words,
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
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None and value != []}
    spoken = {"voice": voice, "language": language, "speed": speed}
    if narrator := {name: value for name, value in spoken.items() if value is not None}:
        changes["voice"] = narrator
    jobs.use_catalog(is_unchecked=unchecked)
    limits = {"max_cost": max_cost, "clip_price": clip_price}
    raise typer.Exit(jobs.regenerate(session_id, wanted, changes, limits=limits, as_json=as_json, verbose=verbose))


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
    voice: Narrated = None,
    music: WithMusic = None,
    unchecked: Unchecked = False,
    as_json: Json = False,
) -> None:
    """Print the request of each part and its warnings. Nothing is bought or written."""
    from adreel.cli.jobs import use_catalog
    from adreel.cli.prompts import show_prompts

    use_catalog(is_unchecked=unchecked)
    show_prompts(source, scenes, voice=voice, music=music, as_json=as_json)
