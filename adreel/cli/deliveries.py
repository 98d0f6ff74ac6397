"""The command that delivers finished ads, and checks films for placements."""

from pathlib import Path

from adreel.cli.display import print_json, print_line, show_film
from adreel.cli.jobs import make_observer
from adreel.cli.progress import CutProgress
from adreel.flows import in_process
from adreel.models.cut_settings import Format


def deliver(
    session_id: str,
    presets: list[str],
    to: str,
    formats: list[Format],
    *,
    captions: bool,
    allow_missing: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Deliver a session's finished ads, and print the manifest or its place."""
    manifest = in_process.deliver(
        session_id,
        presets,
        to,
        formats=formats,
        captions=captions,
        allow_missing=allow_missing,
        observer=make_observer(CutProgress, as_json=as_json, verbose=verbose),
    )
    if as_json:
        print_json(manifest)
        return
    for file in manifest.files:
        show_film(file)
        for advice in file.advice:
            print_line(f"warning: {file.file}: {advice}")
    print_line(in_process.manifest_location(to))


def check(file: Path, presets: list[str], *, as_json: bool) -> int:
    """Print what placements would refuse in a film and what they advise; returns the exit code."""
    facts, verdicts = in_process.check_film(file, presets)
    if as_json:
        print_json([{"preset": name, **vars(verdict), "facts": facts} for name, verdict in verdicts.items()])
    for name, verdict in verdicts.items() if not as_json else ():
        print_line(f"{name} {'refuses' if verdict.refusals else 'accepts'} {file}")
        for reason in verdict.refusals:
            print_line(f"  refused: {reason}")
        for advice in verdict.advice:
            print_line(f"  advice: {advice}")
    return int(any(verdict.refusals for verdict in verdicts.values()))
