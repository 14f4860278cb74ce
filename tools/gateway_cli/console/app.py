"""The console's routes: each view has a URL whose shell appears at once, and parts that it loads."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway_cli.console import actions
from gateway_cli.console.forms import read_form
from gateway_cli.console.gateway import Gateway
from gateway_cli.console.guard import FIRST_PAGE, Guard
from gateway_cli.console.pages import feeds, find, now, rules, states, trouble
from gateway_cli.console.rendering import templates

STATIC: Final = Path(__file__).parent / "static"
VIEWS: Final = {
    "/find": "Find",
    "/now": "Now",
    "/trouble": "Trouble",
    "/rules": "Rules",
    "/feeds": "Feeds",
    "/state-machines": "State machines",
}

Read = Callable[[Gateway, Request], Mapping[str, Any]]
Endpoint = Callable[[Request], Response]
Fields = Mapping[str, list[str]]


class Console:
    """The pages over one gateway. `csrf` is the token that each form of its pages has."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.csrf = secrets.token_urlsafe(32)
        self._templates = templates()

    def routes(self) -> list[BaseRoute]:
        """Return every route: views, their parts, and what is posted."""
        return [
            Route("/", lambda _: RedirectResponse(FIRST_PAGE, 303)),
            Route("/banner", self._part("banner.html", lambda gateway, _: _banner(gateway))),
            Route("/find", self._find),
            Route("/find/answer", self._part("find_answer.html", _answer)),
            Route("/now", self._page("now.html", "Now")),
            Route("/now/table", self._part("now_table.html", lambda gateway, _: now.table(gateway))),
            Route("/now/charts", self._part("now_charts.html", lambda gateway, _: now.charts(gateway))),
            Route("/trouble", self._page("trouble.html", "Trouble")),
            Route(
                "/trouble/lists",
                self._part("trouble_lists.html", lambda gateway, _: trouble.everything(gateway)),
            ),
            Route("/trouble/events", self._page("trouble_events.html", "Dead events")),
            Route(
                "/trouble/events/list",
                self._part("trouble_events_list.html", lambda gateway, _: trouble.dead_events(gateway)),
            ),
            Route("/rules", self._page("rules.html", "Rules")),
            Route(
                "/rules/list",
                self._part("rules_list.html", lambda gateway, of: rules.listed(gateway, lately=_lately(of))),
            ),
            Route("/rules/try", self._posted(self._try), methods=["POST"]),
            Route("/rules/{rule_id}", self._page("rule.html", "Rule")),
            Route("/rules/{rule_id}/about", self._part("rule_about.html", _rule)),
            Route("/feeds", self._page("feeds.html", "Feeds")),
            Route("/feeds/list", self._part("feeds_list.html", lambda gateway, _: feeds.listed(gateway))),
            Route("/feeds/{batch_id}/count", self._part("feeds_count.html", _batch)),
            Route("/state-machines", self._page("states.html", "State machines")),
            Route("/state-machines/list", self._part("states_list.html", _states)),
            Route("/review/{action}", self._review),
            Route("/review/{action}/items", self._reviewed),
            Route("/do/{action}", self._posted(self._do), methods=["POST"]),
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

    def _page(self, template: str, title: str) -> Endpoint:
        """Return the shell of a view: it reads nothing, so that it appears at once."""

        def shown(request: Request) -> Response:
            return self.show(template, title=title, here=request.url.path, request=request)

        return shown

    def _part(self, template: str, read: Read) -> Endpoint:
        """Return a part of a view, with what was read for it."""

        def shown(request: Request) -> Response:
            return self.show(template, **read(self.gateway, request))

        return shown

    def _posted(
        self, answer: Callable[[Request, Fields], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers a form of our own pages; any other is refused."""

        async def posted(request: Request) -> Response:
            fields = await read_form(request, self.csrf)
            return await run_in_threadpool(answer, request, fields)

        return posted

    def _find(self, request: Request) -> Response:
        asked = _question(request)
        if asked.subject is not None and asked.pasted.lstrip().startswith("{"):
            # A log line is long: the address has what it names
            return RedirectResponse(
                f"/find?{urlencode({'q': asked.subject.value, 'since': asked.since})}", 303
            )
        return self.show("find.html", title="Find", here="/find", question=asked, sinces=list(find.SINCE))

    def _try(self, _: Request, fields: Fields) -> Response:
        text, rule_id = (fields.get(name, [""])[0] for name in ("event", "rule"))
        return self.show("rules_tried.html", **rules.tried(self.gateway, text, rule_id))

    # --- actions

    def _review(self, request: Request) -> Response:
        action = self._action(request)
        ticked = request.query_params.getlist("id")[: trouble.MOST]
        return self.show(
            "review.html", title=action.verb, here="/trouble", action=action, ticked=ticked, request=request
        )

    def _reviewed(self, request: Request) -> Response:
        action = self._action(request)
        ticked = request.query_params.getlist("id")[: trouble.MOST]
        name = request.path_params["action"]
        return self.show("review_items.html", name=name, **actions.review(self.gateway, action, ticked))

    def _do(self, request: Request, fields: Fields) -> Response:
        action = self._action(request)
        ticked, why = fields.get("id", [])[: trouble.MOST], fields.get("why", [""])[0]
        started = self.gateway.now()
        reading = self.gateway.read("action", lambda of: actions.perform(of, action, ticked, why), fresh=0)
        self.gateway.forget()
        return self.show(
            "done.html",
            title=action.verb,
            here="/trouble",
            action=action,
            summary=reading.value,
            why=reading.why,
            read_at=started,
        )

    def _action(self, request: Request) -> actions.Action:
        """Return the action of this name; a console that only looks has none."""
        if not self.gateway.operate:
            raise HTTPException(403, "the console only looks: start it with --operate")
        found = actions.ACTIONS.get(request.path_params["action"])
        if found is None:
            raise HTTPException(404, "there is no such action")
        return found


def _banner(gateway: Gateway) -> Mapping[str, Any]:
    return {"identity": gateway.identity(fresh=0) if gateway.logged_out else gateway.identity()}


def _question(request: Request) -> find.Question:
    return find.question(request.query_params.get("q", ""), request.query_params.get("since", ""))


def _answer(gateway: Gateway, request: Request) -> Mapping[str, Any]:
    return find.answer(gateway, _question(request))


def _lately(request: Request) -> bool:
    return "lately" in request.query_params


def _rule(gateway: Gateway, request: Request) -> Mapping[str, Any]:
    return rules.one(gateway, request.path_params["rule_id"], lately=_lately(request))


def _batch(gateway: Gateway, request: Request) -> Mapping[str, Any]:
    return feeds.counted(gateway, request.path_params["batch_id"])


def _states(gateway: Gateway, request: Request) -> Mapping[str, Any]:
    return states.listed(gateway, request.query_params.get("environment", ""))


def build(gateway: Gateway, *, port: int) -> Guard:
    """Return the console's application, for one browser."""
    return Guard(Starlette(routes=Console(gateway).routes()), port=port)
