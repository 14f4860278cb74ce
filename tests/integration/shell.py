"""`mwaa-gateway` as a shell runs it."""

from click.testing import CliRunner, Result

from gateway_cli.main import cli

__all__ = ["shell"]


def shell(*words: str, typed: str | None = None) -> Result:
    """Run the command; anything it raises but an exit is a traceback on somebody's screen, and raised here."""
    result = CliRunner(mix_stderr=False).invoke(cli, words, input=typed, prog_name="mwaa-gateway")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
