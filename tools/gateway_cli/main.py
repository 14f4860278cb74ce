# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway`: the operator's command. Each group of commands is imported when it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from mwaa_gateway import __version__

__all__ = ["cli", "main"]

# Where each group lives: `rules` must not pay for what the local stack imports, nor the other way round.
_GROUPS: Final[Mapping[str, tuple[str, str]]] = {
    "claim-check": ("gateway_cli.claim_check.commands", "claim_check"),
    "dlq": ("gateway_cli.dlq.commands", "dlq"),
    "environments": ("gateway_cli.environments", "environments"),
    "held": ("gateway_cli.held.commands", "held"),
    "local": ("local_stack.command", "local"),
    "namespaces": ("gateway_cli.namespaces.commands", "namespaces"),
    "rerun": ("gateway_cli.rerun.commands", "rerun"),
    "rules": ("gateway_cli.rules.commands", "rules"),
}
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _LazyGroups(click.Group):
    """A group whose subcommands are imported when one of them is run, or when all are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_GROUPS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _GROUPS:
            return super().get_command(ctx, cmd_name)
        module, name = _GROUPS[cmd_name]
        try:
            command: Any = getattr(import_module(module), name)
        except ModuleNotFoundError:
            return None  # left out of the list; told by `resolve_command` to whom asks for it
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _GROUPS and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"`{args[0]}` needs packages that are not installed here: `make run` in a checkout adds them"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroups, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="mwaa-gateway")
def cli() -> None:
    """Start exactly one Airflow DAG run on Amazon MWAA for every event and matching rule.

    \b
    Examples:
      mwaa-gateway rules apply rules/ --stack-name mwaa-gateway
      mwaa-gateway rules list --local
      mwaa-gateway dlq list --newer-than 2h
    """


def main() -> None:
    """Run the command; the console script's entry point."""
    cli()
