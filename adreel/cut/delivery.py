"""Delivers cuts to a folder on any file system: whole or not at all, and nothing there is replaced."""

import csv
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adreel.cut.acceptance import Verdict, judge, judge_length
from adreel.cut.planning import Planned, plan_cut
from adreel.cut.render.process import describe
from adreel.cut.signing import Signer
from adreel.errors import AdreelError, InputError, StorageError
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.cuts import Cut, CutFile
from adreel.models.deliveries import CheckedPlacement, DeliveredFile, Manifest
from adreel.models.placements import Placement, find_placement
from adreel.records import Records
from adreel.records.export import copy_file
from adreel.records.threads import transfer
from adreel.settings import Settings
from adreel.settings.paths import storage_place
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point
from adreel.storage.local import WORKSPACE
from adreel.storage.marker import MARKER
from adreel.storage.media import CHUNK_BYTES, sha256_of

MANIFEST, TABLE = "manifest.json", "manifest.csv"


def parse_presets(presets: Iterable[str]) -> list[Placement]:
    """Return the placements of names, each once; a name may be several with commas in between."""
    names = [name.strip() for preset in presets for name in preset.split(",") if name.strip()]
    if not names:
        raise InputError("name at least one preset, such as tiktok")
    return [find_placement(name) for name in dict.fromkeys(names)]


def open_destination(settings: Settings, to: str) -> Storage:
    """Open the folder of a delivery. The options of the storage are used for a URL of its kind only."""
    try:
        place = storage_place(to)
    except ValueError as error:
        raise InputError(f"can't deliver to {to!r}: {error}") from None
    same_kind = place.partition("://")[0] == settings.storage.partition("://")[0]
    destination = Storage(place, settings.file_system_options if same_kind else {}, setting="the destination")
    if destination.exists(MARKER):
        raise InputError(f"{destination.url} is a storage of adreel: deliver to another folder")
    return destination


def plan_delivery(
    records: Records,
    session_id: str,
    placements: Sequence[Placement],
    *,
    formats: tuple[Format, ...] = (),
    captions: bool = True,
    allow_missing: bool = False,
    signer: Signer | None = None,
) -> list[tuple[Placement, Planned]]:
    """Plan the cut for each placement; InputError if one can't be made, or would be refused for its length."""
    found, refused = [], []
    for placement in placements:
        options = CutOptions(formats=formats, preset=placement.name, captions=captions, allow_missing=allow_missing)
        planned = plan_cut(records, session_id, options, signer)
        if reason := judge_length(placement, planned.seconds):
            refused.append(reason)
        found.append((placement, planned))
    if refused:
        raise InputError(f"the ad of session {session_id!r} can't be delivered: {'; '.join(refused)}")
    return found


@dataclass(frozen=True)
class _Film:
    """A film to deliver: its local copy, under the name that it gets."""

    placement: Placement
    cut: Cut
    file: CutFile
    path: Path

    def beside(self, suffix: str) -> Path:
        return self.path.with_suffix(suffix)

    def delivered(self, verdict: Verdict) -> DeliveredFile:
        """Return its entry in the manifest."""
        measured = self.file.model_dump(include=set(DeliveredFile.model_fields))
        return DeliveredFile.model_validate(
            {
                **measured,
                "preset": self.placement.name,
                "file": self.path.name,
                "poster": self.beside(".jpg").name if self.file.poster else None,
                "captions": self.beside(".srt").name if self.file.captions else None,
                "cut_id": self.cut.cut_id,
                "advice": list(verdict.advice),
            }
        )


async def deliver(records: Records, cuts: Sequence[tuple[Placement, Cut]], destination: Storage) -> Manifest:
    """Copy the files of cuts to a folder, and then their manifest.

    Files that are there already with the same content stay. Raises InputError, before anything is written, if a
    placement would refuse a file or if another file has its name, and StorageError if a copy fails.
    """
    with records.storage.workspace() as folder:
        films = await transfer(_fetch, records, cuts, folder)
        facts = await describe([film.path for film in films])
        verdicts = [judge(film.placement, fact) for film, fact in zip(films, facts, strict=True)]
        if refused := [
            f"{film.path.name}: {reason}"
            for film, verdict in zip(films, verdicts, strict=True)
            for reason in verdict.refusals
        ]:
            raise InputError(f"nothing was delivered: {'; '.join(refused)}")
        session = records.session(cuts[0][1].session_id)
        manifest = Manifest(
            session_id=session.session_id,
            product_name=session.product_name,
            placements=[
                CheckedPlacement(preset=placement.name, source=placement.source, as_of=placement.as_of)
                for placement, _ in cuts
            ],
            files=[film.delivered(verdict) for film, verdict in zip(films, verdicts, strict=True)],
        )
        files = sorted(folder.iterdir())
        with (folder / TABLE).open("w", encoding="utf-8", newline="") as text:
            table = csv.DictWriter(text, list(DeliveredFile.model_fields), lineterminator="\n")
            table.writeheader()
            table.writerows({**file.model_dump(), "advice": "; ".join(file.advice)} for file in manifest.files)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
        # The manifest comes last: who finds it finds everything that it names.
        await transfer(_publish, [*files, folder / TABLE, folder / MANIFEST], destination)
    return manifest


def _fetch(records: Records, cuts: Sequence[tuple[Placement, Cut]], folder: Path) -> list[_Film]:
    films = []
    for placement, cut in cuts:
        for file in cut.files:
            name = f"{cut.session_id}_{placement.name}_{file.format.replace(':', 'x')}.mp4"
            film = _Film(placement, cut, file, folder / name)
            copy_file(records, file.file, file.sha256, film.path)
            for stored in filter(None, (file.poster, file.captions)):
                try:
                    with records.storage.open(stored) as source, film.beside(Path(stored).suffix).open("xb") as target:
                        shutil.copyfileobj(source, target, CHUNK_BYTES)
                except FileNotFoundError:
                    raise StorageError(f"{records.storage.location(stored)} is missing: see `adreel verify`") from None
            films.append(film)
    return films


def _publish(files: Sequence[Path], destination: Storage) -> None:
    missing = [file for file in files if not _is_there(file, destination)]
    done = len(files) - len(missing)
    try:
        with destination.workspace() as folder:
            for file in missing:
                # A local file is published by a link, which needs the destination's own disk.
                copy = shutil.copyfile(file, folder / file.name)
                if not destination.publish(copy, file.name):
                    # The response to an upload may be lost. Somebody else may deliver at the same time.
                    _is_there(file, destination)
                crash_point("file delivered")
                done += 1
    except AdreelError as error:
        raise StorageError(
            f"the delivery to {destination.url} is incomplete, {done} of {len(files)} files and no manifest: {error};"
            " deliver again, and the files that are there stay"
        ) from error
    finally:
        if destination.is_local:
            with suppress(OSError):
                Path(destination.location(WORKSPACE)).rmdir()


def _is_there(file: Path, destination: Storage) -> bool:
    """Whether a file is at the destination; InputError if another one has its name."""
    try:
        with destination.open(file.name) as stream:
            found = sha256_of(stream)
    except FileNotFoundError:
        return False
    if found != hashlib.sha256(file.read_bytes()).hexdigest():
        raise InputError(
            f"another file is at {destination.location(file.name)}, and nothing is replaced: deliver to a folder of"
            " its own"
        )
    return True
