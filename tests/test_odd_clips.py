"""Every paid clip is kept: stored, stored with a warning, or kept aside for a person to decide."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from adreel.cli.records import prune_takes, show_status, show_takes
from adreel.emulator import LocalRunware
from adreel.errors import ClipKeptAside, ClipUnavailable, StorageError
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Take, utc_now
from adreel.purchase.jobs import end_job, open_scenes, record_failure
from adreel.records.pruning import prunable, prune
from adreel.records.verification import verify
from adreel.records.views import job_status, job_view, session_view
from adreel.settings import Settings
from adreel.storage.media import sha256_of
from tests import odd_clips
from tests.rigs.invariants import check_idle_storage, check_kept
from tests.studio import JOB, Studio, studio

NOISE = Random(1).randbytes(50_000)  # noqa: S311 - the same every time
ODD = ["shorterVideo", "slightlyShorterVideo", "coverArtFirst", "editList", "rotatedVideo"]
ASIDE = {"webmBytes": "webm", "undecodableBytes": "bin"}


class Host:
    """A host of clips that serves the given bodies, as the provider's host does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""
        self.requests = 0
        self.tells_length = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if not self.tells_length:
            response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(body)
            return response
        return web.Response(body=body, content_type="video/mp4") if body else web.Response(status=404)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host, app = Host(), web.Application()
    app.router.add_get("/clip.mp4", host.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}/clip.mp4"
    yield host
    await runner.cleanup()


async def left_rendered(it: Studio, host: Host, *, size: tuple[int, int] = odd_clips.SIZE) -> None:
    """Write a rendered take with the host's address, as an earlier adreel did; look-ups find no other address."""
    it.server._handler._clip_url = lambda _uuid: host.url
    job = it.start(Scenario.HOOK)
    host.bodies = [b""]
    with pytest.raises(ClipUnavailable) as caught:
        await it.produce(job=job)
    take = it.take()
    request = take.request.model_copy(update={"width": size[0], "height": size[1], "duration": 5})
    record_failure(it.records, job, Scenario.HOOK, caught.value)
    take = it.take().model_copy(update={"request": request})
    take.attempts[-1].url = host.url
    it.records.save_take(take)


async def resumed(it: Studio, host: Host, *bodies: bytes) -> Take:
    """Resume such a take while the host serves these bodies in order, then always the last one."""
    await left_rendered(it, host)
    host.bodies = list(bodies)
    await it.produce()
    return it.take()


def warnings(take: Take) -> list[str]:
    return [warning.code for warning in take.warnings]


@pytest.mark.parametrize("fault", ODD)
async def test_an_odd_clip_is_stored_at_once_and_is_current(fault: str) -> None:
    async with studio(fault) as it:
        take = await it.produce()
        assert (take.state, take.progress) == (State.COMPLETED, 100)
        assert [*check_idle_storage(it.records, it.server.ledger), *check_kept(it.records, it.server.ledger)] == []
        assert session_view(it.records, "ad").scene_videos[0].take == JOB
        assert it.server.ledger.counters.downloads == 1


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("shorterVideo", ["shorterThanAsked"]),
        ("rotatedVideo", ["otherSize"]),
        ("coverArtFirst", []),
    ],
)
async def test_how_it_differs_from_the_order_is_in_record_and_status(fault: str, codes: list[str]) -> None:
    async with studio(fault) as it:
        assert warnings(await it.produce()) == codes
        assert [warning.code for warning in job_status(it.records, JOB).scenes[0].warnings] == codes
        assert [warning.code for warning in job_view(it.records, JOB).scenes[0].warnings] == codes
        assert [warning.code for warning in session_view(it.records, "ad").scene_videos[0].warnings] == codes


@pytest.mark.parametrize(
    ("seconds", "size", "codes"),
    [
        (5, (64, 48), []),
        (4.6, (64, 48), []),
        (4.4, (64, 48), ["shorterThanAsked"]),
        (2.5, (64, 48), ["shorterThanAsked"]),
        (0.1, (64, 48), ["shorterThanAsked"]),
        (5.9, (64, 48), []),
        (8, (64, 48), ["longerThanAsked"]),
        (5, (68, 44), []),
        (5, (96, 48), ["otherSize"]),
        (3, (48, 96), ["shorterThanAsked", "otherSize"]),
    ],
)
async def test_what_is_warned_of(
    host: Host, tmp_path: Path, seconds: float, size: tuple[int, int], codes: list[str]
) -> None:
    async with studio() as it:
        content = odd_clips.film(tmp_path / "clip.mp4", seconds, size=size).read_bytes()
        take = await resumed(it, host, content)
        assert warnings(take) == codes
        assert kept(it, take) == content


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("webm", {"container": "webm", "codec": "libvpx"}),
        ("mkv", {"container": "matroska"}),
        ("gif", {"container": "gif", "codec": "gif", "pix_fmt": "rgb8"}),
        ("bin", {}),
        ("mp4", {}),
    ],
)
async def test_what_is_no_playable_mp4_is_kept_aside_and_ends_the_take(
    host: Host, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    clip = tmp_path / "clip"
    if name == "bin":
        content = NOISE
    elif name == "mp4":
        content = odd_clips.scrambled(clip).read_bytes()
    else:
        content = odd_clips.film(clip, 1, **options).read_bytes()  # type: ignore[arg-type]
    async with studio() as it:
        with pytest.raises(ClipKeptAside, match=rf"scene hook: paid, but .* kept aside as ad_hook_\w+\.aside\.{name}"):
            await resumed(it, host, content)
        take = it.take()
        assert (take.state, take.cost, take.attempts[-1].state) == (State.FAILED, 0.1, AttemptState.FAILED)
        assert take.attempts[-1].problem
        assert take.attempts[-1].problem.code == "keptAside"
        assert take.aside
        assert (take.aside.size, take.aside.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert kept(it, take) == content
        assert take.aside.file in (job_status(it.records, JOB).scenes[0].error or "")
        assert open_scenes(it.records, it.settings, "all") == []
        with pytest.raises(ClipKeptAside):
            await it.produce()
        assert len(it.bought) == 1
        assert verify(it.records) == []


@pytest.mark.parametrize("fault", ASIDE)
async def test_the_provider_s_odd_bytes_are_kept_aside(fault: str) -> None:
    async with studio(fault) as it:
        with pytest.raises(ClipKeptAside):
            await it.produce()
        assert it.take().aside
        assert [*check_idle_storage(it.records, it.server.ledger), *check_kept(it.records, it.server.ledger)] == []


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype html><html>gone</html>", b'{"errors": []}', b"<?xml version='1.0'?><Error/>"],
    ids=["404", "HTML", "JSON", "XML"],
)
async def test_a_page_instead_of_the_clip_leaves_the_take_open(host: Host, content: bytes) -> None:
    async with studio() as it:
        with pytest.raises(ClipUnavailable, match="stays open"):
            await resumed(it, host, content)
        assert it.take().attempts[-1].state == AttemptState.RENDERED
        assert it.records.storage.names("") == ["jobs", "sessions"]


async def test_a_text_that_is_too_long_for_a_page_is_kept_aside(host: Host) -> None:
    content = base64.b64encode(NOISE * 20)
    async with studio() as it:
        with pytest.raises(ClipKeptAside):
            await resumed(it, host, content)
        assert it.take().attempts[-1].aside.file.endswith(".aside.txt")  # type: ignore[union-attr]
        assert kept(it, it.take()) == content


async def test_a_file_that_breaks_off_is_fetched_again_and_the_whole_one_stored(host: Host, tmp_path: Path) -> None:
    content = odd_clips.film(tmp_path / "clip.mp4").read_bytes()
    async with studio() as it:
        with pytest.raises(ClipUnavailable, match=r"breaks off: \d+ of at least \d+ bytes"):
            await resumed(it, host, content[: len(content) // 2], content)
        take = await it.produce()
        assert warnings(take) == []
        assert kept(it, take) == content


async def test_the_same_part_twice_is_what_the_provider_has(host: Host, tmp_path: Path) -> None:
    content = odd_clips.film(tmp_path / "clip.mp4").read_bytes()
    part = content[: len(content) // 2]
    async with studio() as it:
        with pytest.raises(ClipUnavailable):
            await resumed(it, host, part)
        take = await it.produce()
        assert warnings(take) == ["brokenOff", "shorterThanAsked"]
        assert kept(it, take) == part


async def test_other_parts_are_not_believed(host: Host, tmp_path: Path) -> None:
    content = odd_clips.film(tmp_path / "clip.mp4").read_bytes()
    parts = [content[: len(content) * share // 10] for share in (5, 6, 7)]
    async with studio() as it:
        with pytest.raises(ClipUnavailable):
            await resumed(it, host, *parts, content)
        for _ in parts[1:]:
            with pytest.raises(ClipUnavailable):
                await it.produce()
        assert kept(it, await it.produce()) == content


async def test_an_undecodable_part_that_comes_twice_is_kept_aside(host: Host, tmp_path: Path) -> None:
    content = odd_clips.film(tmp_path / "clip.mp4").read_bytes()
    part = content[: content.index(b"mdat") - 100]
    async with studio() as it:
        with pytest.raises(ClipUnavailable):
            await resumed(it, host, part)
        with pytest.raises(ClipKeptAside, match="breaks off"):
            await it.produce()
        assert kept(it, it.take()) == part


async def test_undecodable_bytes_without_a_length_are_fetched_until_the_same_come_twice(host: Host) -> None:
    host.tells_length = False
    async with studio() as it:
        with pytest.raises(ClipUnavailable, match="its length is unknown"):
            await resumed(it, host, NOISE[: len(NOISE) // 2], NOISE)
        with pytest.raises(ClipUnavailable):
            await it.produce()
        with pytest.raises(ClipKeptAside):
            await it.produce()
        assert kept(it, it.take()) == NOISE


async def test_what_was_put_aside_before_the_record_said_so_is_found_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    def end(point: str) -> None:
        if point == "kept aside":
            raise Ended

    content = NOISE
    async with studio() as it:
        monkeypatch.setattr("adreel.purchase.download.crash_point", end)
        with pytest.raises(Ended):
            await resumed(it, host, content)
        monkeypatch.undo()
        host.bodies = [b""]
        with pytest.raises(ClipKeptAside):
            await it.produce()
        assert kept(it, it.take()) == content


async def test_a_stranger_s_file_under_the_name_is_not_replaced(host: Host) -> None:
    async with studio() as it:
        await left_rendered(it, host)
        take = it.take()
        path = Path(it.records.storage.location(f"ad_hook_{take.short_id}.aside.bin"))
        path.write_bytes(b"another")
        host.bodies = [bytes(5000)]
        with pytest.raises(StorageError, match="another file is at"):
            await it.produce()
        assert path.read_bytes() == b"another"
        assert it.take().is_open


@pytest.mark.parametrize("is_known", [True, False])
async def test_the_clip_that_another_runner_published_is_taken_if_a_runner_named_it(
    host: Host, tmp_path: Path, is_known: bool
) -> None:
    ours, theirs = (odd_clips.film(tmp_path / "clip.mp4", seconds).read_bytes() for seconds in (5, 2))
    async with studio() as it:
        stored = await resumed(it, host, ours)
        path = it.clip_path(stored)
        path.write_bytes(theirs)
        stored.attempts[-1].state = AttemptState.RENDERED
        if is_known:
            stored.attempts[-1].published_sha256.append(hashlib.sha256(theirs).hexdigest())
        it.records.storage.remove(f"sessions/ad/takes/hook/{JOB}.json")
        it.records.save_take(stored)
        if is_known:
            await it.produce()
            assert (kept(it, it.take()), warnings(it.take())) == (theirs, ["shorterThanAsked"])
        else:
            with pytest.raises(StorageError, match="another file is at"):
                await it.produce()


async def test_a_clip_without_a_decodable_picture_is_stored_with_a_warning(host: Host, tmp_path: Path) -> None:
    async with studio() as it:
        content = odd_clips.without_its_parameters(odd_clips.film(tmp_path / "clip.mp4")).read_bytes()
        take = await resumed(it, host, content)
        assert warnings(take) == ["noPoster"]
        assert kept(it, take) == content
        assert session_view(it.records, "ad").scene_videos[0].poster_url is None
        assert verify(it.records) == []


async def test_a_dead_address_leaves_a_reason_and_prune_offers_the_take(host: Host) -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        await left_rendered(it, host)
        assert list(prunable(it.records, utc_now(), keep_current=True)) == []
        end_job(it.records, job)
        assert "stays open" in (job_status(it.records, JOB).scenes[0].error or "")
        [take] = prunable(it.records, utc_now(), keep_current=True)
        prune(it.records, take)
        assert verify(it.records) == []
        assert open_scenes(it.records, it.settings, "all") == []


async def test_prune_takes_what_was_kept_aside_along(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with studio("undecodableBytes") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(ClipKeptAside):
            await it.produce(job=job)
        end_job(it.records, job)
        monkeypatch.setenv("ADREEL_STORAGE", it.settings.storage)
        prune_takes("0d", keep_current=True, dry_run=True, as_json=False)
        [take] = prunable(it.records, utc_now(), keep_current=True)
        assert take.aside
        assert take.aside.file in capsys.readouterr().out
        prune(it.records, take)
        assert not any("aside" in name for name in it.records.storage.names(""))


async def test_a_clip_is_odd_in_the_same_way_after_the_emulator_was_restarted(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    options = {"ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}
    async with LocalRunware(render_seconds=0, ledger_file=ledger, faults=["webmBytes", "gone404"]) as first:
        it = Studio(first, Settings(runware_url=first.url, **options))  # type: ignore[arg-type]
        with pytest.raises(ClipUnavailable):
            await it.produce()
    async with LocalRunware(render_seconds=0, ledger_file=ledger) as second:
        it.settings = it.settings.model_copy(update={"runware_url": second.url})
        with pytest.raises(ClipKeptAside):
            await it.produce()
        assert [entry.oddity for entry in second.ledger.entries] == ["webmBytes"]


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        ("shorterVideo", "warning: hook 35f85e76: it lasts 1.00 s instead of 2 s"),
        ("webmBytes", "kept aside: hook"),
    ],
)
async def test_the_command_line_shows_warnings_and_where_a_file_was_put(
    fault: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with studio(fault) as it:
        with suppress(ClipKeptAside):
            await it.produce()
        monkeypatch.setenv("ADREEL_STORAGE", it.settings.storage)
        show_takes("ad", None, as_json=False)
        out = capsys.readouterr().out
        short_id = it.take().short_id
        assert shown.replace("35f85e76", short_id) in out
        if it.take().aside:
            assert f"ad_hook_{short_id}.aside.webm" in out
        for name in (JOB, "ad"):
            show_status(name, as_json=False)
            out = capsys.readouterr().out
            if aside := it.take().aside:
                assert f"kept aside: hook: {it.records.storage.location(aside.file)}\n" in out
                assert "Rerun one scene:  adreel regenerate ad hook" in out
            else:
                assert shown.split(" ", maxsplit=1)[0] in out


def kept(it: Studio, take: Take) -> bytes:
    """Return the bytes that a take has in the storage, which its record describes."""
    file = take.clip if take.is_stored else take.aside
    assert file is not None
    with it.records.storage.open(file.file) as stream:
        assert sha256_of(stream) == file.sha256
    return it.records.storage.read(file.file)
