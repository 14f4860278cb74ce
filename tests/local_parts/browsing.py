"""The console in a real browser: Debian's Chromium, headless, driven by Playwright, over a gateway in moto."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from gateway_cli.console.app import build
from gateway_cli.console.command import server
from integration.console_scene import Scene

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# The tests run as root in containers, which Chromium's sandbox refuses; evil.example is a name that its owner has rebound
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-component-update",
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
]


def chromium() -> str:
    """The path of this machine's browser; without one the test is skipped, which pytest's summary says."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"the console was NOT tested in a browser: none of {', '.join(NAMES)} is installed here")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser, which asks the network for nothing but the pages it is sent to."""
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def served(application: Any, listener: socket.socket) -> Iterator[None]:
    """Serve an application with the console's own server, in a thread."""
    running = server(application)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        running.should_exit = True
        thread.join()


@contextmanager
def console(opened: Browser, scene: Scene, *, operate: bool) -> Iterator[str]:
    """Serve the scene's console to a browser; yields the address that works once.

    The browser hangs up first: uvicorn leaves a connection open that comes while it ends.
    """
    with listening() as listener:
        guard = build(scene.console(operate=operate), port=listener.getsockname()[1])
        with served(guard, listener):
            try:
                yield guard.url
            finally:
                for context in opened.contexts:
                    context.close()


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket on a free port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener
