"""From Runware's codes to what one does about them, row by row of the protocol's table."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.errors import AdreelError, BadKey, NoCredits, ProviderBusy, RenderFailed, SceneRefused, UnknownFailure
from adreel.runware.failures import CONFLICT, error_class, error_from
from adreel.runware.replies import Failure

TABLE: dict[type[AdreelError], list[str]] = {
    BadKey: ["invalidApiKey", "missingApiKey", "unauthorized", "forbidden", "accountSuspended"],
    NoCredits: [
        "insufficientCredits",
        "paymentRequired",
        "exceededQuota",
        "monthlyQuotaExceeded",
        "negativeBalance",
        "insufficientBalance",
    ],
    ProviderBusy: ["rateLimitExceeded", "providerRateLimitExceeded", "internalServerError", "serviceUnavailable"],
    SceneRefused: [
        "invalidProviderContent",
        "contentPolicyViolation",
        "providerContentPolicyViolation",
        "nsfwContentDetected",
        "sensitiveContentDetected",
        "promptBlocked",
        "moderationFailed",
        "invalidParameter",
        "missingPositivePrompt",
        "unsupportedDuration",
        "maxPromptLength",
        "incompatibleParameters",
        "unknownModel",
    ],
    RenderFailed: [
        "timeoutProvider",
        "providerTimeout",
        "timeout",
        "inferenceError",
        "processingFailed",
        "taskFailed",
        "downloadFailed",
        "noAvailableServer",
        "modelUnavailable",
        "providerError",
        "providerOverheated",
    ],
}
KNOWN = [pytest.param(code, kind, id=code) for kind, codes in TABLE.items() for code in codes]
UNKNOWN = ["unknown", "", "somethingNew", "timeouts", "Provider", "error", "an invalid key", "success", CONFLICT]
REFUSAL = Failure(None, "unsupportedDuration", "This length is not offered", "duration", "6, 10")


@pytest.mark.parametrize(("code", "kind"), KNOWN)
def test_a_known_code_has_the_class_that_says_what_to_do(code: str, kind: type[AdreelError]) -> None:
    assert type(error_from(Failure(None, code, "why"))) is kind


@pytest.mark.parametrize(
    ("kind", "again", "paid"),
    [
        pytest.param(BadKey, False, False, id="auth: stop all"),
        pytest.param(NoCredits, False, False, id="quota: stop all"),
        pytest.param(ProviderBusy, True, False, id="rate limit and server: the same UUID"),
        pytest.param(SceneRefused, False, False, id="safety and validation: final for this input"),
        pytest.param(RenderFailed, True, True, id="timeout and provider: a new, paid attempt"),
        pytest.param(UnknownFailure, False, False, id="unknown: a person decides"),
    ],
)
def test_a_class_does_what_its_row_asks_for(kind: type[AdreelError], again: bool, paid: bool) -> None:
    assert (kind.retryable, kind.costs) == (again, paid)


@pytest.mark.parametrize("code", UNKNOWN, ids=repr)
def test_a_code_that_nobody_has_explained_is_final(code: str) -> None:
    assert error_class(code) is UnknownFailure


@given(st.text())
def test_no_code_whatever_it_is_costs_money_by_itself_unless_it_is_known_to_have_failed(code: str) -> None:
    kind = error_class(code)
    if kind.costs:
        assert kind is RenderFailed
        assert code.startswith("provider") or code in TABLE[RenderFailed]


@pytest.mark.parametrize(("code", "kind"), [*KNOWN, *((code, UnknownFailure) for code in UNKNOWN)])
def test_the_message_carries_the_provider_s_words_and_a_way_out(code: str, kind: type[AdreelError]) -> None:
    words = str(error_from(replace(REFUSAL, code=code)))
    said, _, way_out = words.partition(". ")
    assert said == f"Runware says {code}: This length is not offered (parameter duration); allowed: 6, 10"
    assert way_out


def test_what_the_provider_did_not_say_is_left_out() -> None:
    words = str(error_from(Failure(None, "rateLimitExceeded", "Slow down.")))
    assert words == "Runware says rateLimitExceeded: Slow down. A retry may succeed"


@pytest.mark.parametrize("code", ["quotaExceeded", "dailyQuotaReached", "balanceTooLow", "missingCredits"])
def test_whatever_speaks_of_quota_or_balance_is_about_the_account(code: str) -> None:
    assert error_class(code) is NoCredits
