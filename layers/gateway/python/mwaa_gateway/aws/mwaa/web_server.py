"""HTTPS requests to an environment's web server, and what a request without an answer means.

Every request carries a secret of MWAA's. So it goes only to a host name that MWAA alone can assign, over TLS: no redirect is
followed, and no proxy, netrc or CA bundle from environment variables is used. The caller gets the response's cookies;
nothing else keeps them.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Retryable
from mwaa_gateway.values import value

if TYPE_CHECKING:
    import requests

    from mwaa_gateway.aws.mwaa.https import Https

LARGEST_ANSWER_BYTES = 8 * 1024 * 1024


def is_web_server_host(host: str, region: str, exactly: str = "") -> bool:
    """Return whether a token may be sent to this host: a name that MWAA alone can assign, or `exactly` the given one.

    MWAA's API returns the host with each token; the check keeps a forged or misread answer from sending the token
    elsewhere. `exactly` may leave out the port. MWAA's forms: `<id>[-vpce].c<n>.<region>.airflow.amazonaws.com`,
    `<id>.c<n>.airflow.<region>.on.aws`, and China's.
    """
    if exactly:
        any_port = rf"{re.escape(exactly)}(?::\d{{1,5}})?"
        return host == exactly or (":" not in exactly and re.fullmatch(any_port, host) is not None)
    region = re.escape(region)
    domain = rf"{region}\.airflow\.amazonaws\.com(?:\.cn)?|airflow\.{region}\.on\.(?:aws|amazonwebservices\.com\.cn)"
    return re.fullmatch(rf"[a-z0-9-]+\.c\d+\.(?:{domain})", host) is not None


@value
class WebServer:
    """How to reach an environment's web server: its host name ("" = MWAA's own), CA bundle, and timeouts in seconds."""

    host: str
    ca_bundle: str
    connect_timeout_seconds: float
    read_timeout_seconds: float
    keep_connections: bool = False


@value
class HttpAnswer:
    """The web server's response: HTTP status, raw body, cookies by name, Date header."""

    status: int
    body: bytes = field(repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    date: str = ""


class WebServerWay:
    """Sends requests to one environment's web server, each on a new connection, or on one that is kept.

    A caller that keeps connections closes them before its sandbox freezes: the load balancer closes an idle one meanwhile,
    and a request that was never sent would count as one that perhaps was.
    """

    def __init__(self, web_server: WebServer, region: str) -> None:
        self.web_server = web_server
        self._region = region
        self._kept: requests.Session | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections that are kept; a later request opens others."""
        if self._kept is not None:
            self._kept.close()

    @contextmanager
    def _connections(self) -> "Iterator[requests.Session]":
        """Return the pool of connections that is kept, or one for this request: no thread closes another's connection."""
        if not self.web_server.keep_connections:
            # Closed, so that a server that ignores "close" keeps no connection open for the next request
            with self._https.new_session() as connections:
                yield connections
            return
        with self._lock:
            if self._kept is None:
                self._kept = self._https.new_session()
        yield self._kept

    @cached_property
    def _https(self) -> "Https":
        """What the first request needs: a start without one does not load requests."""
        from mwaa_gateway.aws.mwaa.https import Https  # noqa: PLC0415

        return Https(self.web_server.ca_bundle)

    def refuse(self, host: str) -> Retryable | None:
        """Return why nothing may be sent to this host; None if it may."""
        if is_web_server_host(host, self._region, self.web_server.host):
            return None
        return Retryable(
            Reason.ENVIRONMENT_UNREACHABLE,
            f"MWAA named the web server {host[:100]!r}, which is no MWAA host of this region, so it got no token. "
            "Set WEB_SERVER_HOST if this is its real host",
        )

    def send(
        self,
        method: str,
        host: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        largest: int = LARGEST_ANSWER_BYTES,
        within_seconds: float | None = None,
    ) -> HttpAnswer | Retryable | OutcomeUnknown:
        """Send one request; return its answer, of at most `largest` bytes, or why there is none. Never raises.

        `within_seconds` shortens the web server's read timeout.
        """
        read_timeout = min(filter(None, (within_seconds, self.web_server.read_timeout_seconds)))
        if (refusal := self.refuse(host)) is not None:
            return refusal
        try:
            with (
                self._connections() as connections,
                connections.request(
                    method,
                    f"https://{host}{path}",
                    params=query,
                    data=body,
                    headers={
                        **headers,
                        "Connection": "keep-alive" if self.web_server.keep_connections else "close",
                    },
                    timeout=(self.web_server.connect_timeout_seconds, read_timeout),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                read = response.raw.read(largest, decode_content=True)
                cookies = {cookie.name: cookie.value or "" for cookie in response.cookies}
        except Exception as error:  # noqa: BLE001  a streamed read raises urllib3's own errors
            from mwaa_gateway.aws.mwaa.https import failed_request  # noqa: PLC0415  as in `_https`

            return failed_request(error)
        return HttpAnswer(response.status_code, read, cookies, response.headers.get("Date", ""))


def no_token(error: Unavailable, needs: str) -> Retryable:
    """Return why MWAA issued no token, and the remedy if only a person can help; `needs` names the permission."""
    cause = error.__cause__
    match cause.response["Error"].get("Code") if isinstance(cause, ClientError) else "":
        case "AccessDeniedException":
            return Retryable(Reason.ACCESS_DENIED, f"{error}. {needs}")
        case "ResourceNotFoundException":
            see = "MWAA has no environment of this name in this account and region: check MwaaEnvironmentName"
            return Retryable(Reason.TOKEN_UNAVAILABLE, f"{error}. {see}")
        case _:
            return Retryable(Reason.TOKEN_UNAVAILABLE, str(error))
