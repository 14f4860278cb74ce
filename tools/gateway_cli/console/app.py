"""The console's routes: each view has a URL whose shell appears at once, and parts that it loads."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway_cli.console.gateway import Gateway
from gateway_cli.console.guard import FIRST_PAGE, Guard
from gateway_cli.console.pages import find, now
from gateway_cli.console.rendering import templates

STATIC: Final = Path(__file__).parent / "static"
VIEWS: Final = {"/find": "Find", "/now": "Now"}

Read = Callable[[Gateway], Mapping[str, Any]]


class Console:
    """The pages over one gateway. `csrf` is the token that each form of its pages has."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.csrf = secrets.token_urlsafe(32)
        self._templates = templates()

    def routes(self) -> list[BaseRoute]:
        """Return every route."""
        return [
            Route("/", lambda _: RedirectResponse(FIRST_PAGE, 303)),
            Route("/banner", self._part("banner.html", _banner)),
            Route("/find", self._find),
            Route("/find/answer", self._answer),
            Route("/now", self._page("now.html", "Now")),
            Route("/now/table", self._part("now_table.html", now.table)),
            Route("/now/charts", self._part("now_charts.html", now.charts)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def show(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Return a template as a page or a part."""
        gateway = self.gateway
        text = self._templates.get_template(template).render(
            views=VIEWS,
            operate=gateway.operate,
            options=gateway.options,
            logged_out=gateway.logged_out,
            now=gateway.now(),
            csrf=self.csrf,
            **values,
        )
        return HTMLResponse(text, status)

    def _page(self, template: str, title: str) -> Callable[[Request], Response]:
        def shown(request: Request) -> Response:
            return self.show(template, title=title, here=request.url.path)

        return shown

    def _part(self, template: str, read: Read) -> Callable[[Request], Response]:
        def shown(_: Request) -> Response:
            return self.show(template, **read(self.gateway))

        return shown

    def _find(self, request: Request) -> Response:
        asked = find.question(request.query_params.get("q", ""), request.query_params.get("since", ""))
        if asked.subject is not None and asked.pasted.lstrip().startswith("{"):
            # A log line is long: the address has what it names
            return RedirectResponse(
                f"/find?{urlencode({'q': asked.subject.value, 'since': asked.since})}", 303
            )
        return self.show("find.html", title="Find", here="/find", question=asked, sinces=list(find.SINCE))

    def _answer(self, request: Request) -> Response:
        asked = find.question(request.query_params.get("q", ""), request.query_params.get("since", ""))
        return self.show("find_answer.html", **find.answer(self.gateway, asked))


def _banner(gateway: Gateway) -> Mapping[str, Any]:
    return {"identity": gateway.identity(fresh=0) if gateway.logged_out else gateway.identity()}


def build(gateway: Gateway, *, port: int) -> Guard:
    """Return the console's application, for one browser."""
    return Guard(Starlette(routes=Console(gateway).routes()), port=port)
