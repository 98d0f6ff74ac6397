"""Transient errors of a store: time-outs, broken connections, throttling, failures of its server."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,  # s3fs: SlowDown and ServiceUnavailable
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOTCONN,  # a FUSE mount whose process has died
    errno.EPIPE,
    errno.EREMOTEIO,  # s3fs: InternalError
    errno.ESTALE,
    errno.ETIMEDOUT,
}
# Not all libraries are installed, so their errors are recognised by class name.
_PASSING_CLASSES = {
    "ConnectTimeoutError",  # botocore
    "EndpointConnectionError",
    "HTTPClientError",
    "ResponseParserError",  # botocore: half an answer, or another server's page
    "ClientConnectionError",  # aiohttp
    "ClientPayloadError",
    "ServiceRequestError",  # azure
    "ServiceResponseError",
    "TransportError",  # google.auth
    "ConnectionLost",  # asyncssh
    "SFTPConnectionLost",
    "SFTPNoConnection",
    "ProtocolError",  # urllib3
    "MaxRetryError",
    "SSLEOFError",  # a connection that ended without a TLS close
}
_LASTING_CLASSES = {"SSLError", "ClientConnectorCertificateError", "ClientConnectorSSLError"}
_PASSING_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_PASSING_CODES = {
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServerBusy",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}


def is_outage(error: BaseException) -> bool:
    """Whether an error of a file system is transient, so a retry can help."""
    chain = list(_chain(error))
    names = [_names(each) for each in chain]
    if any(each & _LASTING_CLASSES and not each & _PASSING_CLASSES for each in names):
        return False
    # The innermost error with a status or a code is the store's own answer.
    for each in reversed(chain):
        if (answer := _of_answer(each)) is not None:
            return answer
    return any(_of_connection(each) for each in chain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _of_answer(error: BaseException) -> bool | None:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return code in _PASSING_CODES or status in _PASSING_STATUSES
    # azure calls it status_code, google and gcsfs code.
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return status in _PASSING_STATUSES
    return None


def _of_connection(error: BaseException) -> bool:
    if isinstance(error, TimeoutError | ConnectionError | socket.gaierror):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return bool(_names(error) & _PASSING_CLASSES)
