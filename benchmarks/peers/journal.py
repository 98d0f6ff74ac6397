"""asyncio with a journal: a JSON line for each step, durable before the next step. A restart continues from it."""

import asyncio
import json
import os
from typing import IO
from uuid import uuid4

import httpx

from benchmarks.peers import clips

FILE = clips.STATE / "journal.jsonl"


class Journal:
    """The steps of each clip: its `uuid`, its `url`, and whether it is `stored`."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.known: dict[int, dict[str, str]] = {number: {} for number in range(clips.SCENES)}
        for line in FILE.read_text().splitlines():
            self._fold(json.loads(line))

    def note(self, number: int, step: str, value: str = "") -> None:
        """Record a step durably."""
        entry = {"clip": number, "step": step, "value": value}
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self._fold(entry)

    def _fold(self, entry: dict[str, str | int]) -> None:
        self.known[int(entry["clip"])][str(entry["step"])] = str(entry["value"])


async def make_clip(web: httpx.AsyncClient, journal: Journal, number: int) -> None:
    """Buy and download one clip, from the last step in the journal."""
    known = journal.known[number]
    if "stored" in known:
        return
    if "uuid" not in known:
        journal.note(number, "uuid", str(uuid4()))
    if "submitted" not in known:
        clips.check_submitted(await web.post(clips.REST, json=clips.submission(known["uuid"])))
        journal.note(number, "submitted")
    while "url" not in known:
        await asyncio.sleep(clips.POLL_SECONDS)
        if url := clips.url_in(await web.post(clips.REST, json=clips.question(known["uuid"]))):
            journal.note(number, "url", url)
    response = await web.get(known["url"])
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)
    journal.note(number, "stored")


async def main() -> None:
    """Make all clips at once."""
    with FILE.open("a") as file:
        journal = Journal(file)
        async with httpx.AsyncClient(headers=clips.HEADERS, timeout=60) as web:
            clips.tell("submitting")
            await asyncio.gather(*(make_clip(web, journal, number) for number in range(clips.SCENES)))
            clips.tell("stored")


if __name__ == "__main__":
    asyncio.run(main())
