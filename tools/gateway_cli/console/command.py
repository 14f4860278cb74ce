"""`mwaa-gateway console`: opens the gateway in the browser of this machine."""

import socket
import threading
import webbrowser
from typing import Any

import click
import uvicorn

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.console.app import build
from gateway_cli.console.gateway import Gateway
from gateway_cli.output import Refused, print_note


@click.command()
@click.option("--operate", is_flag=True, help="Allow actions: redrive, purge, release, cancel.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="The port on 127.0.0.1.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@gateway_options
def console(connection: Connection, *, operate: bool, port: int, no_browser: bool) -> None:
    """Open the gateway in your browser, until Ctrl-C.

    Find what became of an event, and see the state of the gateway, its troubles, rules, batches and waiting states. Nothing
    is hosted: the command serves 127.0.0.1 only, with your own credentials. The printed address works once, in one browser.

    Without --operate it changes nothing.

    \b
    Examples:
      mwaa-gateway console
      mwaa-gateway console --operate --stack-name mwaa-gateway --profile prod
      mwaa-gateway console --no-browser --port 8099
    """
    with _listening(port) as listener:
        guard = build(Gateway(connection, operate=operate), port=listener.getsockname()[1])
        opens = not no_browser and _has_browser()
        print_note(f"{'Opening' if opens else 'Open'} this address; it works once:\n\n  {guard.url}\n")
        print_note(
            f"{'Actions are allowed.' if operate else 'Read-only: --operate allows actions.'} Ctrl-C ends it."
        )
        if opens:
            threading.Thread(target=webbrowser.open, args=[guard.url], daemon=True).start()
        serve(guard, listener)


def serve(guard: Any, listener: socket.socket) -> None:
    """Serve until Ctrl-C."""
    try:
        server(guard).run(sockets=[listener])
    except KeyboardInterrupt:
        return


def server(guard: Any) -> uvicorn.Server:
    """Return the server of an application; it logs no request, as an address may have a token."""
    return uvicorn.Server(
        uvicorn.Config(
            guard,
            access_log=False,
            http="h11",
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
    )


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise Refused(
            f"port {port} of 127.0.0.1 is not free ({error.strerror}): give another --port"
        ) from error
    listener.listen()  # a browser that is quicker than the server waits
    return listener


def _has_browser() -> bool:
    """Return whether this machine has a browser with a window: one in the terminal would take the command's place."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    return isinstance(found, webbrowser.BackgroundBrowser) or not isinstance(found, webbrowser.GenericBrowser)
