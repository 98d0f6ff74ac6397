"""SFTP: write to a temporary name, then let the server rename."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from asyncssh.sftp import SFTPError, SFTPOpUnsupported
from fsspec.asyn import sync

from adreel.storage.backend import StorageBackend, check_unchanged

CHUNK_BYTES = 256 * 1024


class Sftp(StorageBackend):
    """A folder of an SFTP server. Temporary files have names with a leading dot."""

    open_options = {}  # noqa: RUF012 - sshfs fetches exactly what is read

    def write(self, path: str, content: bytes) -> None:
        sync(self.fs.loop, self._put, io.BytesIO(content), len(content), path, overwrite=True)

    def publish(self, source: Path, path: str) -> bool:
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

    def remove_folder(self, path: str) -> None:
        async def remove() -> None:
            async with self.fs.client.start_sftp_client() as channel:
                await channel.rmdir(path)

        with suppress(SFTPError):  # It is gone, or another process has just written into it.
            sync(self.fs.loop, remove)

    async def _put(self, source: BinaryIO, size: int, path: str, *, overwrite: bool) -> None:
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid4().hex}"
        async with self.fs.client.start_sftp_client() as channel:
            try:
                await channel.makedirs(folder, exist_ok=True)
                async with channel.open(temporary, "xb") as stream:
                    while chunk := source.read(CHUNK_BYTES):
                        await stream.write(chunk)
                    check_unchanged(source.tell(), size)
                    with suppress(SFTPOpUnsupported):
                        await stream.fsync()
                # SFTP's own rename must not overwrite. OpenSSH's posix-rename does.
                await (channel.posix_rename if overwrite else channel.rename)(temporary, path)
            except BaseException:
                with suppress(Exception):
                    await channel.unlink(temporary)
                raise
