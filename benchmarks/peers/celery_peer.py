"""Celery on Redis: a task for each clip, in a worker with threads. A task is acknowledged when its clip is stored.

Greenlets could wait as well, but an idle worker with greenlets never restores the tasks of a dead one (kombu 5.7).
"""

import subprocess
import sys
import time

import httpx
from celery import Celery, Task, group
from celery.result import GroupResult

from benchmarks.peers import clips

app = Celery("peer", broker=clips.SERVER, backend=clips.SERVER)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    # A task of a dead worker is restored after this time, which must be longer than a render (3600 by default). It
    # is checked every 10 s (100 by default).
    broker_transport_options={"visibility_timeout": 60, "unacked_restore_throttle": 1},
)
GROUP = clips.STATE / "group"


@app.task(bind=True, name="make_clip")
def make_clip(self: Task, number: int) -> None:
    """Buy and download one clip."""
    # A redelivered task has the same id.
    uuid = self.request.id
    with httpx.Client(headers=clips.HEADERS, timeout=60) as web:
        clips.check_submitted(web.post(clips.REST, json=clips.submission(uuid)))
        url = None
        while url is None:
            time.sleep(clips.POLL_SECONDS)
            url = clips.url_in(web.post(clips.REST, json=clips.question(uuid)))
        response = web.get(url)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


def start_worker() -> "subprocess.Popen[bytes]":
    """Start a worker and wait until it responds."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "--app",
        "benchmarks.peers.celery_peer",
        "worker",
        "--loglevel",
        "warning",
    ]
    worker = subprocess.Popen([*command, "--pool", "threads", "--concurrency", str(clips.SCENES)], stdout=sys.stderr)
    while not app.control.ping(timeout=0.5):
        time.sleep(0.1)
    return worker


def main() -> None:
    """Send all tasks to a worker, or wait for those that were sent earlier."""
    with start_worker() as worker:
        clips.tell("submitting")
        if GROUP.exists():
            sent = GroupResult.restore(GROUP.read_text(), app=app)
        else:
            sent = group(make_clip.s(number) for number in range(clips.SCENES)).apply_async()
            sent.save()
            GROUP.write_text(sent.id)
        sent.get()
        clips.tell("stored")
        worker.terminate()


if __name__ == "__main__":
    main()
