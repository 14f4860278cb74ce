"""The files of others in the console are those that their README names, with their licences."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[3] / "tools" / "gateway_cli" / "console" / "static" / "vendor"


def test_every_file_of_others_is_as_published_and_has_its_licence() -> None:
    text = (VENDOR / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", text, re.MULTILINE))
    licences = set(re.findall(r"`([^`]+\.LICENSE)`", text))
    assert {file.name for file in VENDOR.iterdir()} == {"README.md", *listed, *licences}
    for name, expected in listed.items():
        assert expected == hashlib.sha256((VENDOR / name).read_bytes()).hexdigest(), name


def test_the_console_names_no_other_host() -> None:
    """It works without the internet, and its policy would refuse another host."""
    folder = VENDOR.parents[1]
    for file in [*folder.glob("templates/*.html"), *folder.glob("static/console.*")]:
        assert (
            re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", file.read_text(encoding="utf-8"))
            == []
        ), file
