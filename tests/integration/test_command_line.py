"""The command line as a shell meets it: misspelt words, and completion."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_cli.main import main
from gateway_cli.output import print_text
from integration.shell import shell


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rule list", "No such command 'rule'. Did you mean 'rules'?"),
        ("rules lst", "No such command 'lst'. Did you mean 'list'?"),
        ("dlq redriv --all", "Did you mean 'redrive'?"),
        ("held relese", "Did you mean 'release'?"),
        ("environments puase x", "Did you mean 'pause'?"),
        ("namespaces lists", "Did you mean 'list'?"),
        ("local dem", "Did you mean 'demo'?"),
        ("dlq list --enviroment x", "Did you mean --environment?"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(words: str, said: str) -> None:
    """In every group, and for options; nothing is run, and the exit code is that of a wrong command line."""
    shown = shell(*words.split())
    assert (2, True) == (shown.exit_code, said in shown.stderr), shown.stderr


def test_what_is_near_nothing_suggests_nothing() -> None:
    """A wrong suggestion is worse than none."""
    shown = shell("rules", "xyzzy")
    assert (2, False) == (shown.exit_code, "Did you mean" in shown.stderr)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_and_options() -> None:
    """By the line that the README gives; bash itself asks."""
    script = """
    eval "$(_MWAA_GATEWAY_COMPLETE=bash_source mwaa-gateway)"
    COMP_WORDS=(mwaa-gateway dlq red); COMP_CWORD=2; _mwaa_gateway_completion mwaa-gateway; echo "${COMPREPLY[@]}"
    COMPREPLY=(); COMP_WORDS=(mwaa-gateway rules list --out); COMP_CWORD=3
    _mwaa_gateway_completion mwaa-gateway; echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        ["bash", "-c", script],  # noqa: S607 - the bash that the person uses
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ["redrive", "--output"] == shown.stdout.split()


def test_an_ascii_terminal_gets_words_for_signs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As with PYTHONIOENCODING=ascii: no character that a command prints ends in a traceback."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(
        sys, "argv", ["mwaa-gateway", "rules", "schema", "--to", str(tmp_path / "rules.json")]
    )
    with pytest.raises(SystemExit):
        main()
    print_text("✓ ✗ … ü 🚀")
    screen.flush()
    printed = screen.buffer.getvalue().decode()  # type: ignore[attr-defined]  # the BytesIO above
    assert printed.endswith("ok FAILED ... \\xfc \\U0001f680\n")


def test_an_events_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A key, or a message of Airflow's, may be made to move the cursor or to colour a line green."""
    print_text(("s3://acme/\x1b[2J\x07", "bold"), " a\tb\nc")
    assert capsys.readouterr().out == "s3://acme/\\x1b[2J\\x07 a\tb\nc\n"
