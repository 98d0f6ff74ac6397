"""Temporal: a workflow for each clip, with activities for submit, wait and download. The server keeps their history."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import httpx

    from benchmarks.peers import clips

QUEUE = "clips"
CALL = timedelta(seconds=20)
"""Time limit of one call. After it, the calls of a dead worker are repeated."""
SILENCE = timedelta(seconds=5)


@activity.defn
async def submit(uuid: str) -> None:
    """Order one clip."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=15) as web:
        clips.check_submitted(await web.post(clips.REST, json=clips.submission(uuid)))


@activity.defn
async def rendered(uuid: str) -> str:
    """Wait for one clip and return its URL."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=15) as web:
        while True:
            activity.heartbeat()
            await asyncio.sleep(clips.POLL_SECONDS)
            if url := clips.url_in(await web.post(clips.REST, json=clips.question(uuid))):
                return url


@activity.defn
async def download(url: str, number: int) -> None:
    """Download one clip."""
    async with httpx.AsyncClient(timeout=15) as web:
        response = await web.get(url)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


@workflow.defn
class MakeClip:
    """Buys and downloads one clip."""

    @workflow.run
    async def run(self, number: int) -> None:
        """Run the steps. Temporal repeats an interrupted one."""
        uuid = str(workflow.uuid4())
        await workflow.execute_activity(submit, uuid, start_to_close_timeout=CALL)
        url = await workflow.execute_activity(
            rendered, uuid, start_to_close_timeout=timedelta(seconds=clips.RENDER_LIMIT), heartbeat_timeout=SILENCE
        )
        await workflow.execute_activity(download, args=[url, number], start_to_close_timeout=CALL)


async def main() -> None:
    """Run all workflows at once. Running ones are joined."""
    client = await Client.connect(clips.SERVER)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[MakeClip],
        activities=[submit, rendered, download],
        max_concurrent_activities=clips.SCENES,
    )
    async with worker:
        clips.tell("submitting")
        await asyncio.gather(*(_make(client, number) for number in range(clips.SCENES)))
        clips.tell("stored")


async def _make(client: Client, number: int) -> None:
    handle = await client.start_workflow(
        MakeClip.run,
        number,
        id=f"clip-{number}",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await handle.result()


if __name__ == "__main__":
    asyncio.run(main())
