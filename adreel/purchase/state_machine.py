"""State machine of a take: buys its clip at most once, and continues from any recorded state.

    planned ──> submitted ──> accepted ──> rendered ──> stored
                    └────────────┴──> failed ──> the next attempt, if one may help and the settings allow it

Each record is durable before the request that it announces, and a task's UUID derives from job, scenario and attempt.
So a process that continues after a crash sends the same request again, never another one.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from uuid import UUID

from adreel.errors import (
    AccountError,
    AdreelError,
    ClipKeptAside,
    ClipUnavailable,
    InputError,
    ProviderBusy,
    ProviderUnreachable,
    RenderFailed,
    SceneRefused,
    StillRendering,
    StorageError,
    TakeFailed,
    TaskInDoubt,
    UnknownFailure,
)
from adreel.models.parts import label_of, shown_name
from adreel.models.spend import UNMARKED
from adreel.models.takes import AsideFile, Attempt, AttemptState, Clip, Problem, Take, utc_now
from adreel.purchase.download import (
    FORMAT_NAMES,
    DownloadRules,
    Interrupted,
    download_clip,
    download_limit,
    publish,
    publish_aside,
    published_clip,
)
from adreel.purchase.posters import store_poster
from adreel.purchase.uploads import InputImages, SentImages
from adreel.records import Records
from adreel.records.inputs import display_name
from adreel.records.threads import transfer
from adreel.runware import InProgress, Rendered, RunwareClient
from adreel.settings import Settings
from adreel.spend.bills import is_news, learn_bill
from adreel.spend.prices import of_emulator, price
from adreel.storage.crash_points import crash_point

AcquireSlot = Callable[[UUID | None], AbstractAsyncContextManager[UUID | None]]
"""Holds a slot of the concurrency limit and returns its id; takes over the given slot of an earlier run if it can."""
ReportProgress = Callable[[Take, str], None]

CANCEL_SECONDS = 5.0
_ABOUT_MEDIA = re.compile(r"image|frame|reference|media|upload", re.IGNORECASE)

# After these errors the task may still be rendering: its state stays as recorded.
_INCONCLUSIVE = (AccountError, ProviderBusy, ProviderUnreachable, StillRendering, StorageError)


class _HoldReleased(Exception):
    """Ends a write that would send a task whose hold has been released."""


@dataclass
class Purchase:
    """The purchase of one take."""

    take: Take
    _: KW_ONLY
    records: Records
    client: RunwareClient
    rules: DownloadRules
    settings: Settings
    slot: AcquireSlot
    attempts_allowed: int
    report: ReportProgress
    draws_poster: bool
    """Whether the poster is drawn as soon as the clip is stored; otherwise when it is first asked for."""
    check_wanted: Callable[[], Awaitable[None]]
    """Called before a task is sent; its error prevents the sending."""
    hold: Callable[[Take], str | None]
    """Called in a thread before a task is sent: holds its price and returns the hold's mark, or raises OverBudget."""
    mark: str
    """Names this runner of the job among those that may send a task."""
    on_poster: Callable[[bytes], None] = lambda _poster: None
    """Called with a drawn poster."""

    def __post_init__(self) -> None:
        self._is_resumed = self.take.is_open
        self._is_first = False
        """Whether no other run can have published a file of the attempt."""
        self._recorded_position = self.take.position
        self._sender: str | None = None
        """Mark under which this runner may send the task."""
        self._inputs = InputImages(self.client, self.records.storage, self.take.session_id)
        self._images: SentImages | None = None
        self._write_lock = threading.Lock()
        self._cancel_write: asyncio.Future[None] | None = None

    async def run(self) -> Take:
        """Complete the take and return it. Errors name the scene, and the record keeps its progress."""
        try:
            await self._open_attempt()
            if self._attempt.is_in_flight:
                await self._render()
            if self._attempt.state == AttemptState.RENDERED:
                await self._fetch()
            if self._attempt.state == AttemptState.FAILED:
                self._raise_failure()
        except AdreelError as error:
            raise error.at(label_of(self.take.scenario)) from error
        except asyncio.CancelledError:
            if recording := self._record_cancel():
                # A second cancel or the deadline ends the wait, not the write.
                # If the write fails, the job's own record still has its end.
                with suppress(AdreelError, TimeoutError):
                    async with asyncio.timeout(CANCEL_SECONDS):
                        await asyncio.shield(recording)
            raise
        return self.take

    @property
    def _attempt(self) -> Attempt:
        return self.take.attempts[-1]

    async def _open_attempt(self) -> None:
        """Continue the recorded attempt, or plan the first or next one if the settings allow it."""
        take = self.take
        if take.is_in_doubt and take.can_continue(self.attempts_allowed):
            await self._end_doubt()
            take = self.take
            if take.is_stored:
                return
        if take.attempts and (take.is_in_doubt or not take.can_continue(self.attempts_allowed)):
            self._raise_failure()
        if not take.attempts or self._attempt.state == AttemptState.FAILED:
            take.plan_attempt(utc_now())
            self._is_first, self._sender = True, None
        elif not take.problem:
            return
        # A plan alone needs no record: the next step writes it, and another run would plan the same.
        if take.problem:
            take.problem = None
            await asyncio.to_thread(self._write)
        self.report(take, f"attempt {len(take.attempts)}: {self._attempt.state}")

    async def _end_doubt(self) -> None:
        """Follow a refused task after all if another runner had it accepted; else end its attempt for good."""
        if await self.client.look_up(self._attempt.uuid):
            self._attempt.accepted_at, self._attempt.problem, self.take.problem = utc_now(), None, None
            await self._move(AttemptState.ACCEPTED, "accepted by Runware, as another run had sent it")
            self._is_resumed = True
        elif latest := await asyncio.to_thread(self.records.end_doubt, self.take):
            self._adopt(latest)

    async def _render(self) -> None:
        """Have Runware render the clip while holding a slot."""
        self.client.connect_ahead()
        async with self.slot(self._attempt.slot) as slot:
            try:
                crash_point("slot held")
                if self._attempt.slot != slot:
                    # A task outlives the run that sent it, and so does its slot: the next run finds it in the record.
                    self._attempt.slot = slot
                    # The submit writes its own record next, unless it has to wait for a connection.
                    if self._attempt.is_open or not self.client.is_connected:
                        await asyncio.to_thread(self._write)
                steps = {
                    AttemptState.PLANNED: self._prepare,
                    AttemptState.SUBMITTED: self._submit,
                    AttemptState.ACCEPTED: self._follow,
                }
                while step := steps.get(self._attempt.state):
                    await step()
            except asyncio.CancelledError:
                # Before the slot is released, because an unreachable Prefect server may use up the time.
                self._record_cancel()
                raise

    async def _prepare(self) -> None:
        self.client.check_account()
        # A bad key, an unreachable host or a missing image fails here, before the record says that a task was sent.
        await asyncio.gather(self.client.connect(), self.check_wanted())
        async with self._recording_failure():
            self._images = await self._read_images()
        # Only here it is certain who renders: a worker can have a key that others have not.
        if self.settings.is_local:
            self.take.price = of_emulator(self.take.price)
        elif self.take.price and self.take.price.source == "emulator":
            self.take.price = await asyncio.to_thread(price, self.take.request, self.records.storage)
        while self._attempt.state == AttemptState.PLANNED:
            self._attempt.hold, self._sender = await asyncio.to_thread(self.hold, self.take), self.mark
            try:
                await self._move(AttemptState.SUBMITTED, f"sent to Runware as {self._attempt.uuid}")
            except _HoldReleased:
                self._attempt.state = AttemptState.PLANNED

    async def _submit(self) -> None:
        if not await self._look_up_resumed():
            if self._is_resumed and not await asyncio.to_thread(self._join_senders):
                return
            async with self._recording_failure():
                images = self._images or await self._read_images()
                crash_point("before the submit")
                await self._send(images)
                crash_point("after the submit")
        self._is_resumed, self._images = False, None
        self._attempt.accepted_at = utc_now()
        await self._record_answer(AttemptState.ACCEPTED, "accepted by Runware")

    def _join_senders(self) -> bool:
        """Prepare to send a task that another runner may send too. False if it has recorded the end of the attempt.

        The next attempt and the end of the hold wait until each runner that may send the task has its answer.
        """
        take, self._sender = self.take, self.mark
        self._write()
        return self.take is take

    async def _send(self, images: SentImages) -> None:
        """Submit the task. If Runware has forgotten an earlier upload, upload the image again and repeat the submit."""
        uuid, request = self._attempt.uuid, self.take.request
        try:
            await self.client.submit(uuid, request, images.images)
        except (SceneRefused, RenderFailed, UnknownFailure) as refusal:
            if not images.earlier or not _ABOUT_MEDIA.search(str(refusal)):
                raise
            # A refused submit made no task, so its UUID may be sent again.
            images = await self._read_images(images.earlier)
            await self.client.submit(uuid, request, images.images)

    async def _read_images(self, forgotten: Mapping[str, str] | None = None) -> SentImages:
        """Return the images to send. If one is missing and Runware has no task, the attempt ends with InputError."""
        try:
            if self.settings.is_local:
                return await self._inputs.read(self.take.request)
            return await self._inputs.upload(self.take.request, forgotten or {})
        except InputError as error:
            # An earlier run may have sent the task. Only Runware's answer proves that nothing was bought.
            if self._is_resumed and await self.client.look_up(self._attempt.uuid):
                raise ProviderUnreachable("Runware has accepted the task: the next attempt follows it") from None
            raise InputError(
                f"{error}. Nothing was bought: name another image with `adreel regenerate {self.take.session_id}"
                f" {shown_name(self.take.scenario)}` and --first-frame, --last-frame or --reference"
            ) from None

    async def _look_up_resumed(self) -> InProgress | Rendered | None:
        # Runware's memory of used UUIDs is of unknown length, so a task that may have been sent is looked up first.
        try:
            return await self.client.look_up(self._attempt.uuid) if self._is_resumed else None
        except ProviderUnreachable:
            return None

    async def _follow(self) -> None:
        found, limit = await self._look_up_resumed(), self.settings.deadline
        if not isinstance(found, Rendered):
            try:
                async with asyncio.timeout(limit), self._recording_failure():
                    found = await self.client.wait(
                        self._attempt.uuid, lambda percent: self.report(self.take, f"rendering, {percent} %")
                    )
            except TimeoutError:
                self._is_resumed = True
                found = await self._look_up_resumed()
                if not isinstance(found, Rendered):
                    why = f" (the last poll failed: {self.client.last_error})" if self.client.last_error else ""
                    raise StillRendering(
                        f"still rendering after {limit:g} s (ADREEL_DEADLINE) as task {self._attempt.uuid}{why};"
                        " nothing is lost: `adreel resume` continues"
                    ) from None
        crash_point("seen rendered")
        attempt = self._attempt
        attempt.url, attempt.cost, attempt.seed = found.url, found.cost, found.seed
        await self._move(AttemptState.RENDERED, "rendered")
        if is_news(self.take):
            await asyncio.to_thread(learn_bill, self.records.storage, self.take)

    @asynccontextmanager
    async def _recording_failure(self) -> AsyncIterator[None]:
        """Record a failure that ends the attempt."""
        try:
            yield
        except _INCONCLUSIVE:
            raise
        except AdreelError as error:
            request, text = self.take.request, str(error)
            if _ABOUT_MEDIA.search(text) and not self.settings.is_local:
                # Runware may have noticed only after the acceptance that it has forgotten an upload.
                with suppress(StorageError):
                    await self._inputs.forget_uploads(request)
            if request.named_images() and "_frame" not in text and "references" not in text and "image" in text.lower():
                # Runware does not know the image's file name.
                names = " and ".join(
                    f"the scene's {name} {display_name(image)!r}" for name, image in request.named_images()
                )
                error = type(error)(f"{text}. The image is {names}")
            self._attempt.problem = Problem.of(error)
            await self._record_answer(AttemptState.FAILED, f"failed: {error}")
            if error.retryable:
                self._raise_failure()
            raise error from None

    def _raise_failure(self) -> None:
        """Raise RenderFailed if a further attempt is allowed, TaskInDoubt if only later, or TakeFailed."""
        problem = self._attempt.problem
        message = problem.message if problem else "failed for an unknown reason"
        if self._attempt.aside:
            raise ClipKeptAside(message)
        if self.take.is_in_doubt and not self.take.can_continue(self.attempts_allowed):
            raise TaskInDoubt(
                f"{message}; another run may still buy this clip: `adreel resume` after"
                f" {self._attempt.doubt_ends_at:%Y-%m-%d %H:%M} UTC asks Runware for it first"
            )
        if self.take.can_continue(self.attempts_allowed):
            raise RenderFailed(message)
        if problem and problem.retryable:
            message += f" ({len(self.take.attempts)} attempts were made, as many as ADREEL_ATTEMPTS allows)"
        raise TakeFailed(message)

    async def _fetch(self) -> None:
        """Download and publish the clip; ask for a new address and try once more if the download fails."""
        try:
            await self._deliver()
        except ClipUnavailable as error:
            try:
                found = await self.client.look_up(self._attempt.uuid)
            except (ProviderUnreachable, AccountError):
                found = None
            if isinstance(error, Interrupted):
                # If a later download brings the same bytes, Runware has no others.
                self._attempt.interrupted_sha256 = error.sha256
                await self._save(f"a second download is needed: {error}")
            if not isinstance(found, Rendered) or found.url == self._attempt.url:
                raise ClipUnavailable(f"{error}; Runware has no other address: the paid clip stays open") from error
            self._attempt.url = found.url
            await self._save(f"downloading again from a new address: {error}")
            await self._deliver()

    async def _deliver(self) -> None:
        storage = self.records.storage
        async with download_limit():
            with storage.workspace() as folder:
                found = await download_clip(folder, self.take, storage, self.rules, is_first=self._is_first)
                if isinstance(found, AsideFile):
                    await self._keep_aside(found, folder)
                    return
                self._announce(found)
                await self._save("downloaded and verified")
                if not self.take.is_stored and self.take.clip != found:
                    # Another runner received different bytes. The first published file is the clip.
                    found = await published_clip(folder, self.take, storage) or found
                    self._announce(found)
                    await asyncio.to_thread(self._write)
                await transfer(publish, found, folder, storage)
                crash_point("clip published")
                self.take.clip = found
                warnings = "; ".join(warning.message for warning in found.warnings)
                await self._move(AttemptState.STORED, f"stored with a warning: {warnings}" if warnings else "stored")
                if self.draws_poster and self.take.request.kind == "clip":
                    self.take = await store_poster(self.records, self.take, folder)
                    if found.poster and (poster := folder / found.poster).exists():
                        self.on_poster(poster.read_bytes())

    def _announce(self, clip: Clip) -> None:
        self.take.clip = clip
        self.take.reach("fetched")
        if clip.sha256 not in self._attempt.published_sha256:
            self._attempt.published_sha256.append(clip.sha256)

    async def _keep_aside(self, aside: AsideFile, folder: Path) -> None:
        """End the attempt with a paid file that is not a playable MP4. A person decides about a new purchase."""
        self._attempt.aside = aside
        self.take.reach("fetched")
        await self._save("downloaded")
        if self._attempt.state != AttemptState.RENDERED:
            return  # Another runner has ended the attempt. A second file would belong to no record.
        await transfer(publish_aside, aside, folder, self.records.storage)
        playable = FORMAT_NAMES[self.take.request.kind].replace(" ", " playable ", 1)
        message = f"paid, but not {playable}: {aside.reason}; kept aside as {aside.file} for a person to check"
        self._attempt.aside = aside
        self._attempt.problem = self.take.problem = Problem(code=ClipKeptAside.code, message=message)
        await self._move(AttemptState.FAILED, message)

    async def _move(self, state: AttemptState, text: str) -> None:
        self.take.advance(state)
        await self._save(text)

    async def _record_answer(self, state: AttemptState, text: str) -> None:
        attempt, sender = self._attempt, self._sender
        await self._move(state, text)
        if self._attempt is not attempt:
            # Another runner was refused, and has gone on. What this one knows still decides about the task's money.
            await asyncio.to_thread(self.records.answer_sender, self.take, attempt, sender)

    async def _save(self, text: str) -> None:
        await asyncio.to_thread(self._write)
        self.report(self.take, text)

    def _write(self) -> None:
        # A cancelled run may write its last record while a thread is still writing an earlier one.
        with self._write_lock:
            self.take.updated_at = utc_now()
            crash_point(f"before the record: {self.take.progress}")
            # A record that was removed meanwhile is not recreated for a task that was never sent.
            unsent = self._attempt.state in {AttemptState.PLANNED, AttemptState.SUBMITTED} and not self._is_resumed
            latest = self.records.update_take(self.take, self._is_overtaken, must_exist=unsent)
            if latest is not self.take:
                self._adopt(latest)
                return
            crash_point(f"after the record: {self.take.progress}")
            self._recorded_position = self.take.position

    def _is_overtaken(self, latest: Take) -> bool:
        is_overtaken = self._yields_to(latest)
        is_send = self._attempt.state == AttemptState.SUBMITTED and latest.position < self.take.position
        if is_send and not is_overtaken and (self._attempt.hold or UNMARKED) in latest.released:
            raise _HoldReleased
        if not is_overtaken:
            self._merge_senders(latest)
        return is_overtaken

    def _merge_senders(self, latest: Take) -> None:
        recorded = {attempt.uuid: (attempt.senders, attempt.accepted_at) for attempt in latest.attempts}
        for attempt in self.take.attempts:
            senders, accepted_at = recorded.get(attempt.uuid, ({}, None))
            attempt.senders, attempt.accepted_at = dict(senders), attempt.accepted_at or accepted_at
        if self._sender is None:
            return
        self._attempt.senders.pop(self._sender, None)
        if self._attempt.state == AttemptState.SUBMITTED:
            self._attempt.senders[self._sender] = self.take.updated_at

    def _yields_to(self, latest: Take) -> bool:
        """Whether another runner of the same job has moved the record at least as far as this one."""
        if latest.is_stored or latest.pruned_at is not None:
            return True
        return self._recorded_position < latest.position >= self.take.position

    def _adopt(self, latest: Take) -> None:
        self.take, self._recorded_position, self._is_resumed = latest, latest.position, latest.is_open
        self._is_first, self._sender = False, None

    def _record_cancel(self) -> "asyncio.Future[None] | None":
        """Begin to write the record of a cancel, once."""
        if self._cancel_write is None and not self.take.is_stored:
            message = "cancelled; Runware keeps rendering the clip: `adreel resume` downloads it"
            if not self.take.is_open or self._attempt.state == AttemptState.SUBMITTED:
                message = "cancelled before Runware acknowledged the task: `adreel resume` sends it again"
            self.take.problem = Problem(code="cancelled", message=message, retryable=True)
            self._cancel_write = asyncio.ensure_future(asyncio.to_thread(self._write))
        return self._cancel_write
