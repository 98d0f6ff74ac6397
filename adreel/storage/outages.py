"""Transient errors of a store: timeouts, broken connections, throttling and server errors."""

import errno
import socket
from typing import Any

_TRANSIENT_ERRNOS = {errno.EAGAIN, errno.EINTR, errno.EPIPE, errno.ETIMEDOUT}
_TRANSIENT_ERRNOS |= {errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET}
_TRANSIENT_ERRNOS |= {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH}
_TRANSIENT_ERRNOS |= {errno.ENOTCONN, errno.ESTALE}  # a FUSE mount whose process has died, a stale NFS handle
_TRANSIENT_ERRNOS |= {errno.EBUSY, errno.EREMOTEIO}  # s3fs: SlowDown and ServiceUnavailable, InternalError
# Optional libraries: their errors are recognised by class name, without an import.
_TRANSIENT_CLASSES = {
    *("ConnectTimeoutError", "EndpointConnectionError", "HTTPClientError"),  # botocore
    "ResponseParserError",  # botocore: a truncated response, or a page of another server
    *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
    *("ServiceRequestError", "ServiceResponseError"),  # azure
    "TransportError",  # google.auth
    *("ConnectionLost", "SFTPConnectionLost", "SFTPNoConnection"),  # asyncssh
    *("ProtocolError", "MaxRetryError"),  # urllib3
    "SSLEOFError",  # a connection that ended without a TLS close
}
_LASTING_CLASSES = {"SSLError", "ClientConnectorCertificateError", "ClientConnectorSSLError"}
_TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_TRANSIENT_CODES = {
    *("InternalError", "OperationAborted", "RequestLimitExceeded", "RequestTimeout", "ServerBusy"),
    *("ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"),
}


def is_outage(error: BaseException) -> bool:
    """Whether an error of a file system is transient, so that a retry can help."""
    chain = [error]
    while (cause := chain[-1].__cause__) and len(chain) < 10:
        chain.append(cause)
    names = [{kind.__name__ for kind in type(each).__mro__} for each in chain]
    if any(each & _LASTING_CLASSES and not each & _TRANSIENT_CLASSES for each in names):
        return False
    # The innermost error with a status or a code is the store's own response.
    for each in reversed(chain):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return code in _TRANSIENT_CODES or status in _TRANSIENT_STATUSES
        # azure calls it status_code; google and gcsfs call it code.
        status = getattr(each, "status_code", None) or getattr(each, "code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status in _TRANSIENT_STATUSES
    return any(
        isinstance(each, TimeoutError | ConnectionError | socket.gaierror)
        or (isinstance(each, OSError) and each.errno in _TRANSIENT_ERRNOS)
        or each_names & _TRANSIENT_CLASSES
        for each, each_names in zip(chain, names, strict=True)
    )
