"""Amazon MWAA by script: the web server of one environment, and botocore's stub of the control plane."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from fakes.web_server import WebServerScript, scripted_web_server
from mwaa_gateway.aws.mwaa.web_server import WebServer

__all__ = ["control_plane", "proxy_and_netrc", "server", "way_to"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServerScript]:
    """One web server for a file's tests: each begins with what it is to answer, and with nothing received."""
    with scripted_web_server(tmp_path_factory.mktemp("tls")) as script:
        yield script


@pytest.fixture
def control_plane() -> Iterator[Stubber]:
    """MWAA's API, which answers what was added and nothing else; its `client` is botocore's."""
    client = boto3.client(
        "mwaa", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    with Stubber(client) as stubber:
        yield stubber


@pytest.fixture
def proxy_and_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose settings would have every request sent elsewhere, and with another's password."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def way_to(server: WebServerScript) -> WebServer:
    """As the settings lead to it: its host alone, under its own CA, in two seconds or not at all."""
    return WebServer("localhost", server.ca_bundle, connect_timeout_seconds=60, read_timeout_seconds=60)
