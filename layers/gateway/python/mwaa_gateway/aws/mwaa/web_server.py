"""The way to an environment's web server: HTTPS to MWAA's own host names, and what a request without an answer means.

Whatever is sent there carries a secret of MWAA's. So it goes to a host that only MWAA can hand out, over TLS, and nowhere
else: no redirect is followed, and no proxy, netrc or CA bundle of the environment variables is used. A cookie that comes
back is told to the caller and kept by nobody else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from mwaa_gateway.outcomes import OutcomeUnknown, Reason, Retryable

__all__ = ["LARGEST_ANSWER_BYTES", "HttpAnswer", "WebServer", "WebServerWay", "is_web_server_host"]

LARGEST_ANSWER_BYTES = 8 * 1024 * 1024


def is_web_server_host(host: str, region: str, exactly: str = "") -> bool:
    """Tell whether a token may be sent to this host: a name that only MWAA can hand out, or `exactly` the one named.

    MWAA's API returns the host with each token; checking it keeps a forged or misread answer from taking the token
    elsewhere. `exactly` may leave the port open. MWAA's forms: `<id>[-vpce].c<n>.<region>.airflow.amazonaws.com`,
    `<id>.c<n>.airflow.<region>.on.aws`, and China's.
    """
    if exactly:
        any_port = rf"{re.escape(exactly)}(?::\d{{1,5}})?"
        return host == exactly or (":" not in exactly and re.fullmatch(any_port, host) is not None)
    region = re.escape(region)
    domain = rf"{region}\.airflow\.amazonaws\.com(?:\.cn)?|airflow\.{region}\.on\.(?:aws|amazonwebservices\.com\.cn)"
    return re.fullmatch(rf"[a-z0-9-]+\.c\d+\.(?:{domain})", host) is not None


@dataclass(frozen=True, slots=True)
class WebServer:
    """How to reach an environment's web server: its host by name ("" = MWAA's own), CA bundle, and seconds to wait."""

    host: str
    ca_bundle: str
    connect_timeout_seconds: float
    read_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the web server answered: the HTTP status, the body as it came, the cookies it set, by name, its Date header."""

    status: int
    body: bytes = field(repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    date: str = ""


class WebServerWay:
    """Sends requests to one environment's web server, each on a connection of its own.

    A connection kept open that the load balancer closes while idle would turn a request that was never sent into one that
    perhaps was.
    """

    def __init__(self, web_server: WebServer, region: str) -> None:
        self.web_server = web_server
        self._region = region
        self._session = requests.Session()
        # No proxy, netrc or CA bundle from the environment variables: netrc would replace the Authorization header.
        self._session.trust_env = False
        self._session.verify = web_server.ca_bundle or True
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def no_way(self, host: str) -> Retryable | None:
        """Say why nothing may be sent to this host; None if it may."""
        if is_web_server_host(host, self._region, self.web_server.host):
            return None
        return Retryable(
            Reason.ENVIRONMENT_UNREACHABLE,
            f"MWAA named the web server {host[:100]!r}, which is no MWAA host of this region: no token was "
            "sent there. Set WEB_SERVER_HOST if that is where it really is",
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
        """Send one request; its answer, of which at most `largest` bytes are read, or why there is none. Never raises.

        `within_seconds` shortens the web server's read timeout.
        """
        read_timeout = min(filter(None, (within_seconds, self.web_server.read_timeout_seconds)))
        if (elsewhere := self.no_way(host)) is not None:
            return elsewhere
        try:
            with self._session.request(
                method,
                f"https://{host}{path}",
                params=query,
                data=body,
                headers={**headers, "Connection": "close"},
                timeout=(self.web_server.connect_timeout_seconds, read_timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                read = response.raw.read(largest, decode_content=True)
                cookies = {cookie.name: cookie.value or "" for cookie in response.cookies}
        except Exception as error:  # noqa: BLE001  urllib3's own errors come out of a streamed read as they are
            return _failed_request(error)
        finally:
            self._session.close()  # a server that does not repeat our "close" would have the connection kept for the next
        return HttpAnswer(response.status_code, read, cookies, response.headers.get("Date", ""))


# Of a handshake that failed: no request was on its way yet.
_NO_HANDSHAKE = ("WRONG_VERSION_NUMBER", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION")


def _failed_request(error: Exception) -> Retryable | OutcomeUnknown:
    """Sort a request without an answer: surely never sent, or perhaps carried out. Never with what the error quotes."""
    text = f"{type(error).__name__} while talking to the web server"
    match error:
        case requests.exceptions.ConnectTimeout():
            never_sent = "no connection within the time, as where a security group or a route is missing"
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            never_sent = "its certificate is not trusted"
        case requests.exceptions.SSLError() if any(sign in str(error) for sign in _NO_HANDSHAKE):
            never_sent = "it speaks no TLS that we speak"
        case requests.exceptions.ConnectionError(args=(MaxRetryError(reason=NameResolutionError()), *_)):
            never_sent = "its host name is not in DNS"
        case requests.exceptions.ConnectionError(
            args=(MaxRetryError(reason=NewConnectionError() as failed), *_)
        ):
            refused = isinstance(failed.__cause__, ConnectionRefusedError)
            never_sent = "the connection was refused" if refused else "no connection could be opened"
        case _:
            return OutcomeUnknown(Reason.UNCLEAR_ANSWER, text)
    return Retryable(Reason.ENVIRONMENT_UNREACHABLE, f"{text}: {never_sent}")
