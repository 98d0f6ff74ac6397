"""Buys one clip at most once and never loses a bought one: the way of a take, from any state it is found in.

    planned ──> submitted ──> accepted ──> rendered ──> stored
                    └────────────┴──> failed ──> the next attempt, if one may help and the settings allow it

Whatever a process knew when it died, the record was written before the world was touched, and the UUID is
derived from what is being bought: coming back asks for the same thing again.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
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
    StillRendering,
    StorageError,
    TakeFailed,
)
from adreel.models.takes import AsideFile, Attempt, AttemptState, Clip, Problem, Take, utc_now
from adreel.purchase.download import (
    DownloadRules,
    Interrupted,
    download_clip,
    download_limit,
    publish,
    publish_aside,
)
from adreel.records import Records
from adreel.records.inputs import display_name, first_frame_data
from adreel.runware import InProgress, Rendered, RunwareClient
from adreel.settings import Settings
from adreel.storage.crash_points import crash_point

# Given the slot that an earlier run had for the task: takes that over if it still can, and tells which one it holds.
Slot = Callable[[UUID | None], AbstractAsyncContextManager[UUID | None]]
Report = Callable[[Take, str], None]

CANCEL_SECONDS = 5.0

# These leave a sent task as it is: nothing is known to have ended.
_OPEN_ENDED = (AccountError, ProviderBusy, ProviderUnreachable, StillRendering, StorageError)


class Purchase:
    """One take on its way home."""

    def __init__(
        self,
        take: Take,
        *,
        records: Records,
        client: RunwareClient,
        rules: DownloadRules,
        settings: Settings,
        slot: Slot,
        attempts_allowed: int,
        report: Report = lambda _take, _text: None,
        check_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        """Raised by `check_wanted`, which is called in a thread, an error keeps a task from being sent."""
        self.take = take
        self._records = records
        self._client = client
        self._rules = rules
        self._settings = settings
        self._slot = slot
        self._attempts_allowed = attempts_allowed
        self._report = report
        self._check_wanted = check_wanted
        self._came_back = take.is_open
        self._seen = take.position
        self._image: str | None = None
        self._saving = threading.Lock()
        self._cancelling: asyncio.Future[None] | None = None
        self._in_flight = {
            AttemptState.PLANNED: self._prepare,
            AttemptState.SUBMITTED: self._submit,
            AttemptState.ACCEPTED: self._follow,
        }

    async def run(self) -> Take:
        """Complete the take and return it. Errors name the scene, and the record keeps its progress."""
        try:
            await self._begin()
            if self._attempt.state in self._in_flight:
                self._client.connect_ahead()
                async with self._slot(self._attempt.slot) as slot, self._noting_cancel():
                    await self._note_slot(slot)
                    while step := self._in_flight.get(self._attempt.state):
                        await step()
            if self._attempt.state == AttemptState.RENDERED:
                await self._fetch()
            if self._attempt.state == AttemptState.FAILED:
                self._raise_failure()
        except AdreelError as error:
            raise type(error)(f"scene {self.take.scenario}: {error}") from error
        except asyncio.CancelledError:
            await self._recorded_cancel()
            raise
        return self.take

    @property
    def _attempt(self) -> Attempt:
        return self.take.attempts[-1]

    async def _begin(self) -> None:
        """Take the record up where it lies: plan the first or the next attempt, or refuse to."""
        take = self.take
        if take.attempts and not take.can_go_on(self._attempts_allowed):
            self._raise_failure()
        if not take.attempts or self._attempt.state == AttemptState.FAILED:
            take.plan_attempt(utc_now())
        elif not take.problem:
            return
        # A plan is recorded with the next step: made anew, it would be the same.
        if take.problem:
            take.problem = None
            await asyncio.to_thread(self._write)
        self._report(take, f"attempt {len(take.attempts)}: {self._attempt.state}")

    def _raise_failure(self) -> None:
        """Raise what the attempt failed of: RenderFailed if a further one is allowed, else TakeFailed."""
        problem = self._attempt.problem
        message = problem.message if problem else "failed for an unknown reason"
        if self._attempt.aside:
            raise ClipKeptAside(message)
        if self.take.can_go_on(self._attempts_allowed):
            raise RenderFailed(message)
        if problem and problem.retryable:
            message += f" ({len(self.take.attempts)} attempts were made, as many as ADREEL_ATTEMPTS allows)"
        raise TakeFailed(message)

    async def _note_slot(self, slot: UUID | None) -> None:
        # A task outlives the run that sent it, and its slot has to: the run that comes back finds it in the record.
        crash_point("slot held")
        if self._attempt.slot != slot:
            self._attempt.slot = slot
            # The submit writes its own record next, unless it has to wait for a connection.
            if self._attempt.is_open or not self._client.is_connected:
                await asyncio.to_thread(self._write)

    async def _prepare(self) -> None:
        # A bad key, a dead host or a missing image fails here, before the record says that an order was sent.
        await asyncio.gather(self._client.connect(), asyncio.to_thread(self._check_wanted))
        async with self._recording_failure():
            self._image = await self._first_frame()
        await self._move(AttemptState.SUBMITTED, f"sent to Runware as {self._attempt.uuid}")

    async def _submit(self) -> None:
        if not await self._found_again():
            # Another runner of the same job may have heard a refusal while this one was asking.
            if self._came_back and await asyncio.to_thread(self._adopt_further):
                return
            async with self._recording_failure():
                image = self._image or await self._first_frame()
                crash_point("before the submit")
                await self._client.submit(self._attempt.uuid, self.take.request, image)
                crash_point("after the submit")
        self._came_back, self._image = False, None
        self._attempt.accepted_at = utc_now()
        await self._move(AttemptState.ACCEPTED, "accepted by Runware")

    async def _first_frame(self) -> str | None:
        """Return the image to send. If it is missing and Runware has no task, the attempt ends with InputError."""
        frame = self.take.request.first_frame
        if frame is None:
            return None
        try:
            return await asyncio.to_thread(first_frame_data, self._records.storage, self.take.session_id, frame)
        except InputError as error:
            # An earlier run may have sent the task. Only Runware's answer proves that nothing was bought.
            if self._came_back and await self._client.look_up(self._attempt.uuid):
                raise ProviderUnreachable("Runware knows the task after all: trying again follows it") from None
            raise InputError(
                f"{error}. Nothing was bought: name another image with `adreel regenerate {self.take.session_id}"
                f" {self.take.scenario} --first-frame FILE`"
            ) from None

    async def _found_again(self) -> InProgress | Rendered | None:
        """Look a task up that an earlier run may have sent: how long Runware refuses its UUID twice is not known."""
        try:
            return await self._client.look_up(self._attempt.uuid) if self._came_back else None
        except ProviderUnreachable:
            return None

    async def _follow(self) -> None:
        found = await self._found_again()
        rendered = found if isinstance(found, Rendered) else await self._wait()
        crash_point("seen rendered")
        attempt = self._attempt
        attempt.url, attempt.cost, attempt.seed = rendered.url, rendered.cost, rendered.seed
        await self._move(AttemptState.RENDERED, "rendered")

    async def _wait(self) -> Rendered:
        limit = self._settings.deadline
        try:
            async with asyncio.timeout(limit), self._recording_failure():
                return await self._client.wait(self._attempt.uuid, self._report_progress)
        except TimeoutError:
            self._came_back = True
            if isinstance(found := await self._found_again(), Rendered):
                return found
            why = f" (the last poll failed: {self._client.trouble})" if self._client.trouble else ""
            raise StillRendering(
                f"still rendering after {limit:g} s (ADREEL_DEADLINE) as task {self._attempt.uuid}{why};"
                " nothing is lost: `adreel resume` picks it up"
            ) from None

    @asynccontextmanager
    async def _recording_failure(self) -> AsyncIterator[None]:
        """Record the end of a task that Runware reported."""
        try:
            yield
        except _OPEN_ENDED:
            raise
        except AdreelError as error:
            error = self._naming_first_frame(error)
            self._attempt.problem = Problem.of(error)
            await self._move(AttemptState.FAILED, f"failed: {error}")
            if error.retryable:
                self._raise_failure()
            raise error from None

    def _naming_first_frame(self, error: AdreelError) -> AdreelError:
        """Return an error about the image with the image's name for people, which Runware does not know."""
        frame, text = self.take.request.first_frame, str(error)
        if frame is None or "first_frame" in text or "image" not in text.lower():
            return error
        return type(error)(f"{text}. The image is the scene's first_frame {display_name(frame)!r}")

    async def _fetch(self) -> None:
        """Download, verify, publish; an address that died is asked for again first."""
        try:
            await self._bring_home()
        except ClipUnavailable as error:
            url = await self._renewed_url()
            if isinstance(error, Interrupted):
                # A later download with the same bytes proves that Runware has no others.
                self._attempt.interrupted_sha256 = error.sha256
                await self._save(f"it has to be fetched again: {error}")
            if url in {None, self._attempt.url}:
                raise ClipUnavailable(f"{error}; Runware has no other address: the paid clip stays open") from error
            self._attempt.url = url
            await self._save(f"fetching again: {error}")
            await self._bring_home()

    async def _renewed_url(self) -> str | None:
        try:
            found = await self._client.look_up(self._attempt.uuid)
        except (ProviderUnreachable, AccountError):
            return None
        return found.url if isinstance(found, Rendered) else None

    async def _bring_home(self) -> None:
        storage = self._records.storage
        async with download_limit():
            with storage.workspace() as folder:
                found = await download_clip(folder, self.take, storage, self._rules)
                if isinstance(found, AsideFile):
                    await self._keep_aside(found, folder)
                    return
                await self._note_clip(found)
                await asyncio.to_thread(publish, found, folder, storage)
                crash_point("clip published")
            self.take.clip = found
            warnings = "; ".join(warning.message for warning in found.warnings)
            await self._move(AttemptState.STORED, f"stored with a warning: {warnings}" if warnings else "stored")

    async def _note_clip(self, clip: Clip) -> None:
        self._name_clip(clip)
        await self._save("downloaded and verified")
        if not self.take.is_stored and self.take.clip != clip:
            # Another runner received different bytes. The first published file is the clip.
            self._name_clip(clip)
            await asyncio.to_thread(self._write)

    def _name_clip(self, clip: Clip) -> None:
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
        await asyncio.to_thread(publish_aside, aside, folder, self._records.storage)
        message = f"paid, but no playable MP4: {aside.reason}; kept aside as {aside.file} for a person to look at"
        self._attempt.aside = aside
        self._attempt.problem = self.take.problem = Problem(code=ClipKeptAside.code, message=message)
        await self._move(AttemptState.FAILED, message)

    async def _move(self, state: AttemptState, text: str) -> None:
        self.take.advance(state)
        await self._save(text)

    async def _save(self, text: str) -> None:
        await asyncio.to_thread(self._write)
        self._report(self.take, text)

    def _write(self) -> None:
        # A cancelled run writes its last word while an earlier write may still be under way in its thread.
        with self._saving:
            self.take.updated_at = utc_now()
            crash_point(f"before the record: {self.take.progress}")
            # A record that was removed meanwhile is not recreated for a task that was never sent.
            unsent = self._attempt.state in {AttemptState.PLANNED, AttemptState.SUBMITTED} and not self._came_back
            stands = self._records.update_take(self.take, self._yields_to, must_exist=unsent)
            if stands is not self.take:
                self._adopt(stands)
                return
            crash_point(f"after the record: {self.take.progress}")
            self._seen = self.take.position

    def _adopt_further(self) -> bool:
        """Go on from the record of another runner of the same job, if that one has moved it as far as this one."""
        latest = self._records.take(self.take.session_id, self.take.scenario, self.take.job_id)
        if latest is None or not self._yields_to(latest):
            return False
        self._adopt(latest)
        return True

    def _yields_to(self, latest: Take) -> bool:
        return latest.is_stored or latest.pruned_at is not None or self._seen < latest.position >= self.take.position

    def _adopt(self, latest: Take) -> None:
        self.take, self._seen, self._came_back = latest, latest.position, latest.is_open

    @asynccontextmanager
    async def _noting_cancel(self) -> AsyncIterator[None]:
        """Start recording the cancel before the slot is released: an unreachable server may use up the time."""
        try:
            yield
        except asyncio.CancelledError:
            self._record_cancel()
            raise

    def _record_cancel(self) -> "asyncio.Future[None] | None":
        if self._cancelling is None and not self.take.is_stored:
            message = "cancelled; Runware goes on rendering the clip: `adreel resume` fetches it"
            if not self.take.is_open or self._attempt.state == AttemptState.SUBMITTED:
                message = "cancelled before Runware was known to have the order: `adreel resume` orders the clip"
            self.take.problem = Problem(code="cancelled", message=message, retryable=True)
            self._cancelling = asyncio.ensure_future(asyncio.to_thread(self._write))
        return self._cancelling

    async def _recorded_cancel(self) -> None:
        """Wait for the record of a cancel; a second cancel or the deadline ends the wait, not the write."""
        if recording := self._record_cancel():
            # If the write fails, the job's own record still has its end.
            with suppress(AdreelError, TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await asyncio.shield(recording)

    def _report_progress(self, percent: int) -> None:
        self._report(self.take, f"rendering, {percent} %")
