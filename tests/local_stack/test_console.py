"""The console over the deployed gateway: each page reads everything it shows."""

import html
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway_cli.connection import Connection
from gateway_cli.console.app import VIEWS, build
from gateway_cli.console.gateway import Gateway
from local_stack.state import StackState

PORT = 8099
ORIGIN = f"http://127.0.0.1:{PORT}"


def test_every_page_reads_the_local_stack(
    gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)
    connection = Connection(None, None, None, None, None, local=True, environment_names=())
    guard = build(Gateway(connection, operate=False), port=PORT)
    client = TestClient(guard, base_url=ORIGIN)
    client.get(guard.url.removeprefix(ORIGIN))
    for path in (*VIEWS, "/find?q=s3://no/such.csv", "/rules?lately", "/trouble/events"):
        texts = [client.get(path).text]
        for text in texts:
            for part in re.findall(r'hx-get="([^"]+)" hx-trigger="load', text):
                answer = client.get(html.unescape(part))
                assert answer.status_code == 200, answer.text
                texts.append(answer.text)
        shown = "\n".join(texts)
        assert "Not everything could be read" not in shown, (path, shown)
        assert "does not accept your credentials" not in shown, (path, shown)
        assert gateway.environments[0] in shown or path != "/now"
