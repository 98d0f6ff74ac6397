"""Shares and reviews: links for people without an account, what they see, and what they say.

The token of a link is the session's id and a random secret. The id of the share is the start of the secret's hash, so
that any server finds the record without a list of tokens, and no one who reads the storage learns a link. A review
names the files that it is about by their SHA-256.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adreel.errors import AdreelError, Conflict, NotFound, StorageError
from adreel.models.cuts import CutFile, CutView
from adreel.models.scenarios import Scenario
from adreel.models.shares import (
    CreatedShare,
    Decision,
    Review,
    ReviewedFile,
    ReviewKind,
    ReviewList,
    ReviewView,
    Right,
    Share,
    ShareCreate,
    ShareList,
    ShareView,
)
from adreel.models.takes import Clip, Take, utc_now
from adreel.records import Records
from adreel.records.views import choose_currents, views_of_cuts

TOKEN = re.compile(r"(?P<session_id>[A-Za-z0-9_-]{1,64})\.(?P<secret>[0-9a-f]{40})")
SHARE_PATH = "/share/"
ID_LENGTH = 16
SEEN_EVERY = timedelta(minutes=10)
"""Minimum time between two writes of `last_seen_at`."""
MAX_REVIEWS = 1000
"""Maximum number of reviews of an ad: a link that goes round can't fill the storage."""
_DECISIONS: dict[ReviewKind, Decision] = {
    ReviewKind.APPROVAL: "approved",
    ReviewKind.CHANGE_REQUEST: "changes_requested",
}


@dataclass(frozen=True)
class FilmFile:
    """A file that a guest sees; `name` is a format or a scenario."""

    name: str
    file: str
    sha256: str
    poster: str | None
    captions: str | None
    width: int
    height: int
    duration: float


@dataclass(frozen=True)
class Film:
    """The current files of an ad: its current cuts, or else the current clips of its scenes."""

    files: tuple[FilmFile, ...]
    is_cut: bool
    digests: frozenset[str]
    """SHA-256 of all current files. A format that was made twice has two."""
    clips: Mapping[Scenario, str] = field(default_factory=dict)
    """SHA-256 of the current clip of each scene."""

    @property
    def version(self) -> str:
        """Digest of the files."""
        return hashlib.sha256("\n".join(f"{each.name} {each.sha256}" for each in self.files).encode()).hexdigest()[:16]

    @property
    def names(self) -> frozenset[str]:
        """The names of its files in the storage: videos, posters and captions."""
        return frozenset(filter(None, (name for f in self.files for name in (f.file, f.poster, f.captions))))

    def has(self, reviewed: Collection[ReviewedFile], scenario: Scenario | None = None) -> bool:
        """Whether the ad, or one scene of it, is still what was reviewed.

        Another format of the same ad changes nothing, and another scene nothing of this one.
        """
        if scenario is not None:
            return any((each.name, each.sha256) == (scenario, self.clips.get(scenario)) for each in reviewed)
        digests = {each.sha256 for each in reviewed}
        return digests <= self.digests if self.is_cut else digests == self.digests


def film_of(records: Records, session_id: str) -> Film:
    """Read what a guest of an ad sees, without files if nothing is stored yet; NotFound without the session."""
    session, choices = records.session(session_id), records.choices(session_id)
    takes = records.takes_by_part(session_id)
    cuts = views_of_cuts(session, choices, takes, records.cuts(session_id))
    current = choose_currents(takes, choices)
    return make_film({each: current[each] for each in session.scenarios if each in current}, cuts)


def make_film(takes: Mapping[Scenario, Take], cuts: Sequence[CutView]) -> Film:
    """Return what a guest sees of the current takes of an ad, in its order, and its cuts, the newest first."""
    clips = {scenario: take.clip for scenario, take in takes.items() if take.clip}
    videos = [video for cut in cuts if cut.state == "current" for video in cut.files]
    files: dict[str, FilmFile] = {}
    for video in videos:
        files.setdefault(video.format, _film_file(video.format, video, video.captions))
    if not videos:
        files = {scenario: _film_file(scenario, clip) for scenario, clip in clips.items()}
    return Film(
        tuple(files.values()),
        is_cut=bool(videos),
        digests=frozenset(each.sha256 for each in videos or clips.values()),
        clips={scenario: clip.sha256 for scenario, clip in clips.items()},
    )


def _film_file(name: str, file: CutFile | Clip, captions: str | None = None) -> FilmFile:
    return FilmFile(name, file.file, file.sha256, file.poster, captions, file.width, file.height, file.duration)


def create_share(
    records: Records, session_id: str, new: ShareCreate, link: Callable[[str], str | None], created_by: str = ""
) -> CreatedShare:
    """Store a share and return it with its link; `link` makes a public URL of a path."""
    records.session(session_id)
    secret = secrets.token_hex(20)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    now = utc_now()
    share = Share(
        session_id=session_id,
        share_id=digest[:ID_LENGTH],
        secret_sha256=digest,
        rights=[right for right in Right if right in {Right.VIEW, *new.rights}],
        label=new.label,
        created_at=now,
        created_by=created_by,
        expires_at=now + timedelta(days=new.days),
    )
    records.update_share(session_id, share.share_id, lambda earlier: share if earlier is None else None)
    path = f"{SHARE_PATH}{session_id}.{secret}"
    return CreatedShare(**share_view(share, now).model_dump(), url=link(path) or path)


def share_id_of(token: str) -> str:
    """Return the id of the share that a token would open; empty for a text that can't be a token."""
    found = TOKEN.fullmatch(token)
    return hashlib.sha256(found["secret"].encode()).hexdigest()[:ID_LENGTH] if found else ""


def find_share(records: Records, token: str) -> Share | None:
    """Return the share of a link, which may have ended; None for a token that never was one."""
    found = TOKEN.fullmatch(token)
    if found is None:
        return None
    digest = hashlib.sha256(found["secret"].encode()).hexdigest()
    share = records.share(found["session_id"], digest[:ID_LENGTH])
    return share if share and hmac.compare_digest(share.secret_sha256, digest) else None


def record_visit(records: Records, share: Share) -> None:
    """Record that a guest has opened the page, at most once in SEEN_EVERY. A failure is no reason not to show it."""
    now = utc_now()

    def change(stored: Share | None) -> Share | None:
        if stored is None or (stored.last_seen_at and now - stored.last_seen_at < SEEN_EVERY):
            return None
        return stored.model_copy(update={"last_seen_at": now})

    if change(share):
        with suppress(StorageError):
            records.update_share(share.session_id, share.share_id, change)


def revoke_share(records: Records, session_id: str, share_id: str) -> ShareView:
    """End a share for good; NotFound if there is none. A second time changes nothing."""
    records.session(session_id)

    def change(stored: Share | None) -> Share | None:
        if stored is None or stored.revoked_at is not None:
            return None
        return stored.model_copy(update={"revoked_at": utc_now()})

    share = records.update_share(session_id, share_id, change)
    if share is None:
        detail = f"no share {share_id!r} of session {session_id!r}: see `adreel shares {session_id}`"
        raise NotFound(detail, {"share_id": detail})
    return share_view(share, utc_now())


def list_shares(records: Records, session_id: str) -> ShareList:
    """Return the shares of an ad, the newest first, or raise NotFound."""
    records.session(session_id)
    return shares_of(records, session_id)


def shares_of(records: Records, session_id: str) -> ShareList:
    """Return the shares of a session that is known to exist, the newest first."""
    broken: list[AdreelError] = []
    now = utc_now()
    shares = sorted(records.shares(session_id, broken), key=lambda share: (share.created_at, share.share_id))
    return ShareList(shares=[share_view(share, now) for share in reversed(shares)], unreadable=list(map(str, broken)))


def share_view(share: Share, now: datetime) -> ShareView:
    """Return a share without its secret."""
    return ShareView(**share.model_dump(include=set(ShareView.model_fields)), state=share.state(now))


def add_review(
    records: Records,
    share: Share,
    film: Film,
    kind: ReviewKind,
    *,
    author: str,
    text: str = "",
    moment: float | None = None,
    scenario: Scenario | None = None,
    key: str,
) -> Review:
    """Store a review of a film in a file of its own; one with the same `key` of the same share is stored once.

    Conflict if the ad has too many reviews.
    """
    if records.count_reviews(share.session_id) >= MAX_REVIEWS:
        raise Conflict(f"this ad has {MAX_REVIEWS} comments already: please write to its owner")
    review = Review(
        session_id=share.session_id,
        review_id=hashlib.sha256(f"{share.share_id}\n{key}".encode()).hexdigest()[:24],
        share_id=share.share_id,
        created_at=utc_now(),
        author=author,
        kind=kind,
        text=text,
        moment=moment,
        scenario=scenario,
        files=[ReviewedFile(name=each.name, file=each.file, sha256=each.sha256) for each in film.files],
    )
    return records.add_review(review)


def list_reviews(records: Records, session_id: str, film: Film | None = None) -> ReviewList:
    """Return the reviews of an ad, the newest first, and the newest decision; NotFound without the session."""
    film = film or film_of(records, session_id)
    broken: list[AdreelError] = []
    found = judge_reviews(records.reviews(session_id, broken), film)
    return found.model_copy(update={"unreadable": list(map(str, broken))})


def judge_reviews(stored: Iterable[Review], film: Film) -> ReviewList:
    """Return reviews of an ad, the newest first, with what is decided about its present film."""
    reviews = [
        ReviewView(
            **review.model_dump(include=set(ReviewView.model_fields)),
            state="current" if film.has(review.files, review.scenario) else "stale",
        )
        for review in sorted(stored, key=lambda each: (each.created_at, each.review_id), reverse=True)
    ]
    # An approval of one scene is none of the ad, but a scene that has to be changed is a change of the ad.
    of_ad = [each for each in reviews if each.scenario is None or each.kind is ReviewKind.CHANGE_REQUEST]
    scenes = {scenario: _decision([each for each in reviews if each.scenario == scenario]) for scenario in Scenario}
    return ReviewList(
        state=_decision(of_ad),
        scenes={scenario: decision for scenario, decision in scenes.items() if decision != "none"},
        reviews=reviews,
    )


def _decision(reviews: Sequence[ReviewView]) -> Decision:
    """Return the first decision of reviews that are sorted from new to old."""
    newest = next((each for each in reviews if each.kind in _DECISIONS), None)
    return "none" if newest is None else "stale" if newest.state == "stale" else _DECISIONS[newest.kind]
