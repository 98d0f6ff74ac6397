"""Runware's replies as values: any JSON goes in, and nothing but tasks under way, clips and failures comes out."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adreel.runware.failures import error_from
from adreel.runware.replies import Balance, Failure, InProgress, Rendered, Reply, parse_replies
from adreel.text import clean_text, is_clean

TEXT = "8f14e45f-ceea-467f-a9b2-3c0d5f6e7a81"
TASK = UUID(TEXT)
URL = "https://vm.runware.ai/video/ws/2/vi/clip.mp4"

# What json.loads can give, NaN and the infinities included.
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from(["\0" * 9, "x" * 100_000, "\x1b[2J", 10**400])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
# Random keys never meet the parser's own: items are made of those, each with the value it expects or any other.
items = st.fixed_dictionaries(
    {},
    optional={
        "taskUUID": st.just(TEXT) | values,
        "taskType": st.sampled_from(["videoInference", "authentication", "ping", "accountManagement"]) | values,
        "status": st.sampled_from(["success", "processing", "error", "paused"]) | values,
        "videoURL": st.just(URL) | values,
        "progress": st.integers(-10, 110) | values,
        "cost": st.floats() | st.integers() | values,
        "seed": values,
        "balance": st.floats() | st.integers() | values,
        "code": st.just("taskFailed") | values,
        "message": values,
        "parameter": values,
        "allowedValues": values,
        "error": st.fixed_dictionaries({}, optional={"code": values, "message": values, "taskUUID": values}) | values,
    },
)
messages = values | st.fixed_dictionaries(
    {}, optional={"data": st.lists(items | values, max_size=4) | values, "errors": st.lists(items | values) | values}
)


def success(**changes: Any) -> dict[str, Any]:
    item = {
        "taskType": "videoInference",
        "taskUUID": TEXT,
        "status": "success",
        "videoUUID": "0b1f",
        "videoURL": URL,
        "cost": 0.11,
        "seed": 1259273673,
    }
    return {"data": [{**item, **changes}]}


def task(**changes: Any) -> dict[str, Any]:
    return {"data": [{"taskType": "videoInference", "taskUUID": TEXT, **changes}]}


@given(messages)
def test_any_json_becomes_a_list_of_values_that_keep_their_promises(message: Any) -> None:
    replies = parse_replies(message)
    assert isinstance(replies, list)
    for reply in replies:
        match reply:
            case InProgress():
                assert reply.progress is None or 0 <= reply.progress <= 100
            case Rendered():
                assert reply.url
                assert_clean(reply.url, 8000)
                # `0 <= cost` is false for NaN, and a record of an infinite cost could not be read back.
                assert reply.cost is None or 0 <= reply.cost < float("inf")
                assert reply.seed is None or type(reply.seed) is int
            case Balance():
                assert abs(reply.amount) < float("inf")
            case Failure():
                assert reply.code
                assert reply.message
                assert_clean(reply.code, 100)
                assert_clean(reply.message, 1000)
                assert_clean(reply.parameter, 1000)
                assert_clean(reply.allowed, 1000)


def assert_clean(text: str, most: int) -> None:
    """Whether a text fits a UTF-8 record, PostgreSQL and one line of a terminal, with bounded length."""
    assert type(text) is str
    assert len(text) <= most
    assert is_clean(text)
    assert "\n" not in text


@example({"taskType": "accountManagement", "taskUUID": TEXT, "balance": 1.0, "status": "error"})
@example({"taskType": "mediaStorage", "taskUUID": TEXT, "mediaUUID": TEXT, "error": {"code": "tooLarge"}})
@given(items)
def test_only_an_item_that_tells_of_an_error_is_a_failure(item: dict[str, Any]) -> None:
    told = bool(item.get("error")) or item.get("status") == "error"
    failures = [reply for reply in parse_replies({"data": [item]}) if isinstance(reply, Failure)]
    assert len(failures) == told


@given(items)
def test_a_clip_is_rendered_if_and_only_if_a_good_item_of_its_task_has_an_address(item: dict[str, Any]) -> None:
    is_good = not item.get("error") and item.get("status", "success") == "success"
    names_its_task = item.get("taskUUID") == TEXT and item.get("taskType") not in ("authentication", "ping")
    url = item.get("videoURL")
    clips = [reply for reply in parse_replies({"data": [item]}) if isinstance(reply, Rendered)]
    address = "".join(url.split()) if isinstance(url, str) else ""
    expected = [clean_text(address, 8000)] if is_good and names_its_task and clean_text(address) else []
    assert [clip.url for clip in clips] == expected


@pytest.mark.parametrize("kind", [[], {}], ids=["list", "object"])
def test_a_task_type_that_is_no_word_is_no_exception(kind: Any) -> None:
    assert parse_replies(task(taskType=kind, status="processing")) == [InProgress(TASK)]


@pytest.mark.parametrize(
    ("balance", "amount"),
    [(2450.75, 2450.75), (0, 0), ({"amount": 12.5, "currency": "USD"}, 12.5), ("12", None), ({"a": 1, "b": 2}, None)],
)
def test_a_balance_is_a_number_or_an_object_with_one(balance: Any, amount: float | None) -> None:
    replies = parse_replies(task(taskType="accountManagement", balance=balance, team=[{"email": "ada@example.com"}]))
    assert [reply.amount for reply in replies if isinstance(reply, Balance)] == ([] if amount is None else [amount])
    assert "ada" not in repr(replies)


@given(st.lists(items, max_size=5))
def test_each_item_speaks_for_itself_whatever_comes_beside_it(several: list[dict[str, Any]]) -> None:
    alone = [reply for item in several for reply in parse_replies({"data": [item]})]
    # As text, because a NaN does not equal itself.
    assert repr(parse_replies({"data": several})) == repr(alone)


@pytest.mark.parametrize(
    ("message", "replies"),
    [
        pytest.param(task(), [InProgress(TASK)], id="accepted"),
        pytest.param({"data": []}, [], id="accepted but empty, or an unknown task"),
        pytest.param(task(status="processing"), [InProgress(TASK)], id="running"),
        pytest.param(task(status="processing", progress=40), [InProgress(TASK, 40)], id="running with progress"),
        pytest.param(success(), [Rendered(TASK, URL, 0.11, 1259273673)], id="done"),
        pytest.param(task(videoURL=URL), [Rendered(TASK, URL)], id="done without a status"),
        pytest.param(task(status="paused"), [InProgress(TASK)], id="a status that nobody documented"),
        pytest.param(task(status="paused", videoURL=URL), [InProgress(TASK)], id="an unknown status with a URL"),
        pytest.param(success(videoURL=""), [InProgress(TASK)], id="done with an empty URL"),
        pytest.param(success(videoURL=None), [InProgress(TASK)], id="done with no URL"),
        pytest.param(success(videoURL=[URL]), [InProgress(TASK)], id="done with a list of URLs"),
        pytest.param({"data": [{"taskType": "authentication"}]}, [], id="authenticated"),
        pytest.param({"data": [{"taskType": "ping", "pong": True}]}, [], id="pong"),
        pytest.param({"data": [{"taskUUID": "no uuid", "status": "success"}]}, [], id="not a UUID"),
        pytest.param({"data": [{"status": "processing"}]}, [], id="of no task"),
    ],
)
def test_a_result_is_read_as_what_it_says_of_its_task(message: Any, replies: list[Reply]) -> None:
    assert parse_replies(message) == replies


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        pytest.param(
            {"errors": [{"code": "taskFailed", "message": "it broke", "taskUUID": TEXT, "status": "error"}]},
            Failure(TASK, "taskFailed", "it broke"),
            id="first shape: in errors",
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "status": "error", "error": {"code": "taskFailed", "message": "it broke"}}]},
            Failure(TASK, "taskFailed", "it broke"),
            id="second shape: nested in data",
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "error": {"code": "taskFailed", "message": "it broke"}}]},
            Failure(TASK, "taskFailed", "it broke"),
            id="nested, without a status",
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "status": "error", "code": "taskFailed", "message": "it broke"}]},
            Failure(TASK, "taskFailed", "it broke"),
            id="flat in data",
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "status": "error", "error": "it broke"}]},
            Failure(TASK, "unknown", "it broke"),
            id="an error that is a word",
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "status": "error"}]}, Failure(TASK, "unknown", "no message"), id="no reason"
        ),
        pytest.param(
            {"data": [{"taskUUID": TEXT, "status": "error", "videoURL": URL}]},
            Failure(TASK, "unknown", "no message"),
            id="failed, though there is a URL",
        ),
        pytest.param(
            {"errors": [{"error": {"code": "taskFailed", "message": "it broke", "taskUUID": TEXT}}]},
            Failure(TASK, "taskFailed", "it broke"),
            id="the task named inside",
        ),
        pytest.param(
            {"errors": [{"code": "rateLimitExceeded", "message": "slow down"}]},
            Failure(None, "rateLimitExceeded", "slow down"),
            id="of no task",
        ),
        pytest.param(
            {
                "errors": [
                    {
                        "code": "unsupportedDuration",
                        "message": "no such length",
                        "parameter": "duration",
                        "type": "float",
                        "documentation": "https://runware.ai/docs",
                        "taskUUID": TEXT,
                        "allowedValues": [6, 10],
                    }
                ],
                "data": [],
            },
            Failure(TASK, "unsupportedDuration", "no such length", "duration", "6, 10"),
            id="refused, with an empty data",
        ),
        pytest.param(
            {"errors": [{"code": "invalidSize", "message": "?", "taskUUID": TEXT, "parameter": ["width", "height"]}]},
            Failure(TASK, "invalidSize", "?", "width, height"),
            id="refused for several parameters",
        ),
        pytest.param(
            {
                "errors": [
                    {"code": "invalidApiKey", "message": "?", "parameter": "apiKey", "taskType": "authentication"}
                ]
            },
            Failure(None, "invalidApiKey", "?", "apiKey", authenticating=True),
            id="a bad key",
        ),
    ],
)
def test_a_failure_is_read_in_every_shape_it_comes_in(message: Any, failure: Failure) -> None:
    assert parse_replies(message) == [failure]


def test_a_message_with_results_and_errors_gives_all_of_them_in_order() -> None:
    other = UUID("3b0e7a52-6d41-4c8f-9a37-15c2d9e84f60")
    both = {
        "errors": [{"code": "taskFailed", "message": "it broke", "taskUUID": str(other)}],
        "data": [*task(status="processing")["data"], *success()["data"]],
    }
    assert parse_replies(both) == [
        InProgress(TASK),
        Rendered(TASK, URL, 0.11, 1259273673),
        Failure(other, "taskFailed", "it broke"),
    ]


@pytest.mark.parametrize(
    ("written", "cost"),
    [
        ("0.11", 0.11),
        ("0", 0.0),
        ("3", 3.0),
        ("true", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e999", None),
        ("1" + "0" * 400, None),
        ("-0.11", None),
        ("1e9", None),
        ('"0.11"', None),
        ("null", None),
    ],
    ids=[
        "float",
        "zero",
        "whole",
        "bool",
        "NaN",
        "infinite",
        "overflow",
        "huge whole",
        "negative",
        "absurd",
        "text",
        "null",
    ],
)
def test_a_cost_that_is_no_amount_of_money_is_unknown(written: str, cost: float | None) -> None:
    message = json.loads(json.dumps(success()).replace("0.11", written))
    assert parse_replies(message) == [Rendered(TASK, URL, cost, 1259273673)]


@pytest.mark.parametrize(
    ("progress", "read"),
    [
        (0, 0),
        (100, 100),
        (40.0, 40),
        (-1, None),
        (101, None),
        (40.5, None),
        (float("nan"), None),
        (True, None),
        ("40", None),
        (10**400, None),
    ],
    ids=["none", "all", "whole float", "negative", "over 100", "part", "NaN", "bool", "text", "huge"],
)
def test_progress_is_a_whole_percentage_or_nothing(progress: Any, read: int | None) -> None:
    assert parse_replies(task(status="processing", progress=progress)) == [InProgress(TASK, read)]


@pytest.mark.parametrize("seed", [None, True, "7", 7.5, float("inf"), 2**63, 1e300], ids=repr)
def test_a_seed_that_is_no_whole_number_is_unknown(seed: Any) -> None:
    assert parse_replies(success(seed=seed)) == [Rendered(TASK, URL, 0.11, None)]


def test_an_error_in_data_that_names_no_task_is_not_lost() -> None:
    [failure] = parse_replies({"data": [{"status": "error", "error": {"code": "rateLimitExceeded"}}]})
    assert isinstance(failure, Failure)
    assert (failure.uuid, failure.code) == (None, "rateLimitExceeded")


@pytest.mark.parametrize(
    "item",
    [
        {"code": 10**5000, "message": 10**5000, "allowedValues": [10**5000]},
        {
            "code": "x" * 900_000,
            "message": "\0" * 900_000,
            "parameter": ["x" * 900_000] * 9,
            "allowedValues": [1] * 10**6,
        },
        {"code": "\0", "message": {"a": {"b": [["x" * 10**6] * 99]}}, "allowedValues": {"min": 1}},
        {"error": "\ud800\x1b]0;owned\x07"},
    ],
    ids=["huge numbers", "huge texts", "structures", "a lone surrogate and an escape sequence"],
)
def test_a_failure_s_words_are_clean_and_short_whatever_they_are(item: dict[str, Any]) -> None:
    [failure] = parse_replies({"errors": [item]})
    assert isinstance(failure, Failure)
    assert_clean(failure.code, 100)
    assert_clean(failure.message, 1000)
    assert_clean(failure.parameter, 1000)
    assert_clean(failure.allowed, 1000)
    assert_clean(str(error_from(failure)), 3000)


def test_the_first_of_many_allowed_values_are_named() -> None:
    [failure] = parse_replies({"errors": [{"allowedValues": list(range(60))}]})
    assert isinstance(failure, Failure)
    assert failure.allowed.startswith("0, 1, 2, ")
    assert failure.allowed.endswith("48, 49, ...")
