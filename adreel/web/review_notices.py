"""Notices of what guests say, posted to ADREEL_NOTIFY_URL by this server: their words do not reach Prefect.

A notice is sent once. The records hold the same facts, so a receiver that is away loses nothing but the notice.
"""

import html
import logging
from threading import Thread
from typing import Any

import httpx

from adreel.models.shares import Review, ReviewKind, time_label
from adreel.settings import Settings

SECONDS = 10.0
SAID = {
    ReviewKind.COMMENT: "comments on",
    ReviewKind.APPROVAL: "approves",
    ReviewKind.CHANGE_REQUEST: "requests changes of",
}

log = logging.getLogger("adreel.api")


def notify(settings: Settings, review: Review) -> None:
    """Post a review in a thread, for which only the end of the process waits."""
    if settings.notify_url is not None:
        url, notice = settings.notify_url.get_secret_value(), notice_of(settings, review)
        Thread(target=_post, args=(url, notice), name="adreel-review-notice").start()


def notice_of(settings: Settings, review: Review) -> dict[str, Any]:
    """Return the body of a notice. Slack, Mattermost and similar tools show `text`; the rest is for programs."""
    url = settings.public_link(f"/sessions/{review.session_id}/share")
    scene = f" {review.scenario}" if review.scenario else ""
    moment = f" at {time_label(review.moment)}" if review.moment is not None else ""
    author, words = _without_markup(review.author), _without_markup(review.text)
    said = f"{author} {SAID[review.kind]} {review.session_id}{scene}{moment}"
    names = {"session_id", "review_id", "share_id", "author", "kind", "moment", "scenario"}
    return {
        "text": "\n".join(filter(None, (f"{said}: {words}" if words else said, url))),
        **review.model_dump(mode="json", include=names),
        "words": review.text,
        "url": url,
    }


def _without_markup(text: str) -> str:
    """Return a guest's text that calls nobody and hides no link in a chat."""
    return html.escape(text, quote=False).replace("@", "@\u200b")


def _post(url: str, notice: dict[str, Any]) -> None:
    try:
        httpx.post(url, json=notice, timeout=SECONDS).raise_for_status()
    except httpx.HTTPStatusError as error:
        _log(notice, f"HTTP {error.response.status_code}")
    except httpx.HTTPError as error:
        # Its message may have the URL, which is a secret.
        _log(notice, type(error).__name__)


def _log(notice: dict[str, Any], reason: str) -> None:
    log.warning("nobody was told of review %s of %s: %s", notice["review_id"], notice["session_id"], reason)
