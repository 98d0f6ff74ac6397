"""SFTP: a temporary name, then the server's own rename, as on a disk."""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from asyncssh.sftp import SFTPError, SFTPOpUnsupported
from fsspec.asyn import sync

from adreel.storage.objects import Objects

PIECE = 256 * 1024


class Sftp(Objects):
    """A folder of another machine; what a killed writer leaves has a name that begins with a dot."""

    opening = {}  # noqa: RUF012 - sshfs asks for exactly what is read

    def write(self, path: str, content: bytes) -> None:
        """Replace a file by a rename that may overwrite."""
        sync(self.fs.loop, self._put, io.BytesIO(content), len(content), path, overwrite=True)

    def publish(self, source: Path, path: str) -> bool:
        """Give a file its name by a rename that must not overwrite, as SFTP's own does."""
        if self.fs.exists(path):
            return False
        with source.open("rb") as stream:
            try:
                size = os.fstat(stream.fileno()).st_size
                sync(self.fs.loop, self._put, stream, size, path, overwrite=False)
            except SFTPError:
                if self.fs.exists(path):
                    return False
                raise
        return True

    async def _put(self, source: BinaryIO, size: int, path: str, *, overwrite: bool) -> None:
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid4().hex}"
        async with self.fs.client.start_sftp_client() as channel, _removing(channel, temporary):
            await channel.makedirs(folder, exist_ok=True)
            async with channel.open(temporary, "xb") as stream:
                while piece := source.read(PIECE):
                    await stream.write(piece)
                if source.tell() != size:
                    raise OSError(f"the file to publish has changed: {source.tell()} of {size} bytes are left")
                with suppress(SFTPOpUnsupported):
                    await stream.fsync()
            rename = channel.posix_rename if overwrite else channel.rename
            await rename(temporary, path)


@asynccontextmanager
async def _removing(channel: Any, path: str) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        with suppress(Exception):
            await channel.unlink(path)
        raise
