"""The console as a new user drives it, in a real browser: each view, each action, keys, and attacks by other pages."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route as Address

from integration.console_scene import Scene, busy, scene
from integration.operated import operated
from local_parts.browsing import browser, console, listening, served

__all__ = ["busy", "operated", "scene"]


@dataclass
class Opened:
    """A tab at the console of a scene, and every complaint of the browser about it."""

    page: Page
    origin: str
    scene: Scene
    complaints: list[str]

    def view(self, name: str) -> None:
        """Go to a view by its link, and wait for its parts."""
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.settled()

    def goto(self, path: str) -> None:
        self.page.goto(self.origin + path)
        self.settled()

    def settled(self) -> None:
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)
        expect(self.page.locator(".failed")).to_have_count(0)

    def dead(self) -> int:
        return self.page.get_by_role("region", name="Dead requests").locator("tbody tr").count()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    with browser() as opened:
        yield opened


def tab(chromium: Browser, url: str, scene: Scene) -> Opened:
    """Open the address as the command does. The tab reaches nothing but this machine."""
    page = chromium.new_context(viewport={"width": 1280, "height": 720}).new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def only_here(route: Route) -> None:
        if not route.request.url.startswith("http://127.0.0.1:"):
            complaints.append(f"asked for {route.request.url}")
        route.continue_()

    page.route("**", only_here)
    page.goto(url)
    return Opened(page, url.partition("/?")[0], scene, complaints)


def test_every_view_by_mouse_and_keys(chromium: Browser, busy: Scene) -> None:
    with console(chromium, busy, operate=False) as url:
        opened = tab(chromium, url, busy)
        page = opened.page
        expect(page).to_have_title("Find · MWAA Trigger Gateway")
        expect(page.get_by_role("banner")).to_contain_text("123456789012")
        expect(page.get_by_role("banner")).to_contain_text("Read-only")
        # The field has the focus: paste, Enter
        page.keyboard.insert_text("s3://acme/Orders/1.csv")
        page.keyboard.press("Enter")
        opened.settled()
        expect(page.get_by_role("article")).to_contain_text("only upper and lower case differ")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=opened.origin)
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").startswith(
            "mwaa-gateway events send s3://acme/Orders"
        )

        opened.view("Now")
        row = page.get_by_role("row", name="legacy")
        expect(row).to_contain_text("circuit open")
        assert page.locator(".chart canvas").count() == 4
        page.keyboard.press("r")
        opened.settled()
        page.keyboard.press("/")
        expect(page.locator("#quick")).to_be_focused()
        page.keyboard.insert_text("e-dead-2")
        page.keyboard.press("Enter")
        opened.settled()
        expect(page.get_by_role("article")).to_contain_text("Dead")

        opened.view("Trouble")
        assert opened.dead() == 3
        assert page.get_by_role("checkbox").count() == 0
        opened.view("Rules")
        page.get_by_label("An event as its source sends it").fill("{}")
        page.get_by_role("button", name="Try").click()
        expect(page.locator("#tried")).to_contain_text("malformed")
        page.get_by_role("link", name="finance.orders").first.click()
        opened.settled()
        expect(page.get_by_role("heading", name="Rule finance.orders")).to_be_visible()
        opened.view("Feeds")
        expect(page.get_by_role("progressbar")).to_have_count(1)
        page.get_by_role("button", name="Count all that are shown").click()
        expect(page.get_by_role("progressbar")).to_have_count(3)
        opened.view("State machines")
        expect(page.get_by_role("row", name="month-end")).to_contain_text("analytics:load_warehouse")
        assert opened.complaints == []


def test_tab_visits_everything_with_a_visible_focus(chromium: Browser, busy: Scene) -> None:
    with console(chromium, busy, operate=True) as url:
        opened = tab(chromium, url, busy)
        opened.goto("/trouble")
        page, seen = opened.page, []
        page.locator("body").focus()
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
                    " return [one.textContent.trim() || one.ariaLabel || one.name, style.outlineStyle]; })()"
                )
            )
        names = [name for name, _ in seen]
        assert names[:4] == ["Skip to the content", "Find", "Now", "Trouble"]
        assert names.index("Refresh") < names.index("Tick all that are shown")
        assert {outline for name, outline in seen if name} <= {"solid", "auto"}


def test_every_action_by_ticking_and_confirming(chromium: Browser, busy: Scene) -> None:
    with console(chromium, busy, operate=True) as url:
        opened = tab(chromium, url, busy)
        page = opened.page
        for region, button, done in (
            ("Dead requests", "Redrive", "1 redriven"),
            ("Dead requests", "Purge", "1 purged"),
            ("Held requests", "Release", "1 released"),
            ("Held requests", "Cancel", "1 cancelled"),
            ("Overdue batches", "Release", "1 released"),
        ):
            opened.goto("/trouble")
            form = page.locator("form").filter(has=page.get_by_role("region", name=region))
            act = form.get_by_role("button", name=button)
            expect(act).to_be_disabled()
            box = form.get_by_role("checkbox").last
            ticked = box.get_attribute("value")
            box.check()
            expect(form).to_contain_text("1 ticked")
            act.click()
            opened.settled()
            expect(page.get_by_role("table", name="These 1, and no others")).to_contain_text(
                str(ticked).split("|")[0]
            )
            page.get_by_role("main").get_by_role("button").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(done)
            expect(page.get_by_role("main")).to_contain_text(str(ticked).split("|")[0])
        assert opened.complaints == []


ATTACK = """<!doctype html><title>evil</title>
<iframe name="framed" src="CONSOLE/trouble"></iframe>
<iframe name="sink"></iframe>
<img src="CONSOLE/do/redrive?id=x">
<form id="form" method="post" action="CONSOLE/do/redrive" target="sink">
<input name="id" value="TICKED"><input name="csrf" value="x"></form>
<script src="CONSOLE/now/table"></script>
<script>
const body = new URLSearchParams({id: "TICKED"});
const tries = [
  fetch("CONSOLE/trouble/lists", {credentials: "include"}).then((answer) => answer.text()),
  fetch("CONSOLE/do/purge", {method: "POST", mode: "no-cors", credentials: "include", body}).then((answer) => answer.type),
];
document.querySelector("#form").submit();
Promise.allSettled(tries).then((all) => { window.result = all.map((one) => one.value ?? String(one.reason)); });
</script>"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_reaches_nothing(chromium: Browser, busy: Scene, host: str) -> None:
    """Of the same host on another port, which browsers call the same site, and of another host."""
    answers: list[tuple[str, int]] = []
    with console(chromium, busy, operate=True) as url, listening() as listener:
        opened = tab(chromium, url, busy)
        opened.goto("/trouble")
        dead = opened.page.get_by_role("region", name="Dead requests").get_by_role("checkbox").last
        ticked = str(dead.get_attribute("value"))

        def attack(_: Request) -> Response:
            return HTMLResponse(ATTACK.replace("CONSOLE", opened.origin).replace("TICKED", ticked))

        with served(Starlette(routes=[Address("/", attack)]), listener):
            evil = opened.page.context.new_page()
            evil.on("response", lambda answer: answers.append((answer.url, answer.status)))
            evil.goto(f"http://{host}:{listener.getsockname()[1]}/")
            evil.wait_for_function("window.result")
            assert evil.evaluate("window.result") == ["TypeError: Failed to fetch"] * 2
            evil.wait_for_load_state("networkidle")
            ours = {status for address, status in answers if address.startswith(opened.origin)}
            assert ours, "the attack has not reached the console"
            assert ours <= {401, 403}
            framed = evil.frame(name="framed")
            assert framed is not None
            assert "Dead requests" not in framed.content()
            evil.close()
        opened.goto("/trouble")
        assert opened.dead() == 3
        assert busy.gateway.visible("trigger-analytics") == 0


def test_a_rebound_name_is_refused(chromium: Browser, busy: Scene) -> None:
    """evil.example resolves to this machine: its pages would be of the console's own origin."""
    with console(chromium, busy, operate=True) as url:
        tab(chromium, url, busy).settled()
        port = url.rpartition(":")[2].partition("/")[0]
        page = chromium.new_context().new_page()
        answer = page.goto(f"http://evil.example:{port}/trouble")
        assert answer is not None
        assert answer.status == 421


def test_a_second_browser_has_no_use_of_the_address(chromium: Browser, busy: Scene) -> None:
    with console(chromium, busy, operate=False) as url:
        tab(chromium, url, busy).settled()
        answer = chromium.new_context().new_page().goto(url)
        assert answer is not None
        assert answer.status == 401
