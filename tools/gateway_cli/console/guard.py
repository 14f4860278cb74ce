"""Who may talk to the console: one browser of this machine, and no page of another site.

attack                                     what stops it
another user or program of this machine    the cookie, which the one-time token of the opened URL was exchanged for
DNS rebinding: evil.example → 127.0.0.1    the Host header must be the console's own address
another site's form, image, frame, fetch   SameSite=Strict, Sec-Fetch-Site, Origin; no answer may be framed or read
a page on another port of this machine     the same: such a page is "same-site", so SameSite alone would admit it
a form that is sent in the operator's name the CSRF token, which `forms.read_form` asks of each POST
text of an event that is a script          templates escape it, and the policy runs scripts of the console's own files only
"""

import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIRST_PAGE: Final = "/find"
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_READING: Final = frozenset({"GET", "HEAD"})
_OWN: Final = frozenset(
    {"none", "same-origin"}
)  # of Sec-Fetch-Site: typed by the operator, or from the console
_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # no-referrer would let browsers send forms with `Origin: null`
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses what does not come from the operator's browser, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._host = f"127.0.0.1:{port}"
        self._origin = f"http://{self._host}"
        # Cookies ignore the port: a name of its own keeps two consoles apart
        self._cookie = f"mwaa-gateway-console-{port}"
        self._session = secrets.token_urlsafe(32)
        self._token = secrets.token_urlsafe(32)

    @property
    def url(self) -> str:
        """The address to open, once: its token is void afterwards."""
        return f"{self._origin}/?token={self._token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._refusal(scope) or self._exchange(scope) or self._without_cookie(scope)
        await (answer or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse a request of another address or another site, whatever it carries."""
        headers, method = Headers(scope=scope), scope["method"]
        if headers.getlist("host") != [self._host]:
            return PlainTextResponse(f"this is not {self._host}: open the console by that address\n", 421)
        if method not in _METHODS:
            return PlainTextResponse("not allowed\n", 405)
        if headers.get("sec-fetch-site", "none") not in _OWN:
            return PlainTextResponse(
                "the request came from another site's page: paste the address into the address bar\n", 403
            )
        origin = headers.get("origin")
        if origin != self._origin and (origin is not None or method not in _READING):
            return PlainTextResponse("the request does not come from a page of this console\n", 403)
        return None

    def _exchange(self, scope: Scope) -> Response | None:
        """Exchange the one-time token for the cookie."""
        if scope["path"] != "/":
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not self._token or not _same(given, self._token):
            return None
        self._token = ""
        answer = RedirectResponse(FIRST_PAGE, 303)
        answer.set_cookie(self._cookie, self._session, httponly=True, samesite="strict", path="/")
        return answer

    def _without_cookie(self, scope: Scope) -> Response | None:
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        if _same(cookies.get(self._cookie, ""), self._session):
            return None
        return PlainTextResponse(
            "This browser is not the one that opened the console. An address works once: stop the command with Ctrl-C, and "
            "start it again for a new one.\n",
            401,
        )


def _same(given: str, own: str) -> bool:
    return secrets.compare_digest(given.encode(), own.encode())
