"""Uploads of input images to Runware: with a key, each image is uploaded once and its UUID is sent with all requests.

So a request stays small, and repeating it under its UUID is quick. The UUID is kept beside the image's copy, in
`sessions/{session_id}/inputs/{sha256}.upload.json`, for later jobs and other processes. It is only a shortcut: if an
image can't be uploaded, the request has the image itself.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, WeakValueDictionary

from pydantic import AwareDatetime, ValidationError

from adreel.errors import AccountError, AdreelError
from adreel.models.record import Record
from adreel.models.sessions import INPUT_PATTERN
from adreel.models.takes import TaskRequest, utc_now
from adreel.records.inputs import image_data, upload_path
from adreel.records.threads import transfer
from adreel.runware import RunwareClient
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point


class Upload(Record):
    """An uploaded image."""

    media_uuid: str
    uploaded_at: AwareDatetime


@dataclass(frozen=True)
class SentImages:
    """The images of a request as they are sent: URLs, data URIs and UUIDs of uploads."""

    images: dict[str, str]
    earlier: dict[str, str]
    """The UUIDs of earlier uploads among them, which Runware may have forgotten."""


@dataclass
class _Uploads:
    """The uploads of a client. The same image may be an input of many sessions."""

    media: dict[str, str] = field(default_factory=dict)
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    is_refused: bool = False


_uploads: WeakKeyDictionary[RunwareClient, _Uploads] = WeakKeyDictionary()


@dataclass(frozen=True)
class InputImages:
    """The images of a session, on their way to Runware."""

    client: RunwareClient
    storage: Storage
    session_id: str

    async def read(self, request: TaskRequest) -> SentImages:
        """Return the images of a request with their content; InputError if a copy is missing."""
        return SentImages({image: await self._data(image) for _, image in request.named_images()}, {})

    async def upload(self, request: TaskRequest, forgotten: Mapping[str, str]) -> SentImages:
        """Return the images of a request with the UUIDs of their uploads; InputError if a copy is missing.

        Known uploads are used, except the `forgotten` ones.
        """
        sent = SentImages({}, {})
        for image in dict.fromkeys(image for _, image in request.named_images()):
            if not INPUT_PATTERN.fullmatch(image):
                sent.images[image] = await self._data(image)
                continue
            media, is_known = await self._upload_once(image, forgotten.get(image))
            sent.images[image] = media
            if is_known:
                sent.earlier[image] = media
        return sent

    async def forget_uploads(self, request: TaskRequest) -> None:
        """Remove the records of the uploads of a request, so that its images are uploaded again."""
        for _, image in request.named_images():
            if INPUT_PATTERN.fullmatch(image):
                path = upload_path(self.session_id, image)
                _uploads.setdefault(self.client, _Uploads()).media.pop(path.rpartition("/")[2], None)
                await asyncio.to_thread(self.storage.remove, path)

    async def _data(self, image: str) -> str:
        return await transfer(image_data, self.storage, self.session_id, image)

    async def _upload_once(self, image: str, forgotten: str | None) -> tuple[str, bool]:
        """Return the UUID of an upload, or else the data of the image, and whether the upload was known already."""
        path = upload_path(self.session_id, image)
        of_client, digest = _uploads.setdefault(self.client, _Uploads()), path.rpartition("/")[2]
        lock = of_client.locks.setdefault(digest, asyncio.Lock())
        async with lock:
            known = await asyncio.to_thread(self._recorded, path)
            if known is not None and known != forgotten:
                return known, True
            media = of_client.media.get(digest)
            if media is None or media == forgotten:
                data = await self._data(image)
                media = None if of_client.is_refused else await self._upload(of_client, data)
                if media is None:
                    return data, False
                of_client.media[digest] = media
            return await asyncio.to_thread(self._record, path, media, forgotten), False

    async def _upload(self, of_client: _Uploads, data: str) -> str | None:
        crash_point("before the upload")
        try:
            media = await self.client.upload(data)
        except AccountError:
            raise
        except AdreelError:
            # A broken connection may be a moment's fault. What Runware has refused, it would refuse again.
            of_client.is_refused = self.client.is_connected
            return None
        crash_point("after the upload")
        return media

    def _recorded(self, path: str) -> str | None:
        try:
            return _media(self.storage.read(path))
        except FileNotFoundError:
            return None

    def _record(self, path: str, media: str, forgotten: str | None) -> str:
        """Record an upload and return its UUID, or that of another process that was faster."""
        stands = media

        def change(content: bytes | None) -> bytes | None:
            nonlocal stands
            stands = _media(content) or media
            if stands not in {media, forgotten}:
                return None
            stands = media
            return Upload(media_uuid=media, uploaded_at=utc_now()).model_dump_json(indent=2).encode() + b"\n"

        self.storage.update(path, change)
        crash_point("upload recorded")
        return stands


def _media(content: bytes | None) -> str | None:
    """Return the UUID in the record of an upload. An unreadable record is replaced: an upload costs nothing."""
    try:
        return Upload.model_validate_json(content or b"").media_uuid
    except ValidationError:
        return None
