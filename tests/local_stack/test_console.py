"""The console over the deployed gateway: each page reads everything it shows."""

from pathlib import Path

import pytest

from console_pages import assert_every_page_is_read
from gateway_cli.connection import Connection
from local_stack.state import StackState


def test_every_page_reads_the_local_stack(
    gateway: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").symlink_to(Path(gateway.log_folder).parent)
    monkeypatch.chdir(tmp_path)
    assert_every_page_is_read(Connection(None, None, None, None, None, local=True, environment_names=()))
