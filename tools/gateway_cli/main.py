"""`mwaa-gateway`, the operator's command. Each group of commands is imported only when it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import click

from gateway_cli.groups import Group
from gateway_cli.output import print_any_character
from mwaa_gateway import __version__


@dataclass(frozen=True, slots=True)
class _Lazy:
    """A group's module, its line in the list of commands, and a package that it needs and that may not be installed."""

    module: str
    name: str
    help: str
    needs: str = ""

    @property
    def is_here(self) -> bool:
        return not self.needs or find_spec(self.needs) is not None


# `rules` must not pay for what the local stack imports, and the list of commands for no group at all.
_GROUPS: Final[Mapping[str, _Lazy]] = {
    "batches": _Lazy("gateway_cli.batches.commands", "batches", "List open batches; release or cancel them."),
    "claim-check": _Lazy(
        "gateway_cli.claim_check.commands",
        "claim_check",
        "Let DAGs read confs that are too large to pass.",
    ),
    "console": _Lazy("gateway_cli.console.command", "console", "Open the gateway in your browser."),
    "dlq": _Lazy(
        "gateway_cli.dlq.commands", "dlq", "List dead letters with their reasons; redrive or purge them."
    ),
    "environments": _Lazy(
        "gateway_cli.environments", "environments", "List environments; pause and resume them."
    ),
    "events": _Lazy("gateway_cli.events.commands", "events", "Send an event by hand; follow all decisions."),
    "held": _Lazy("gateway_cli.held.commands", "held", "List held requests; release or cancel them."),
    "local": _Lazy(
        "local_stack.command",
        "local",
        "Run the whole gateway on this machine, with real Airflow.",
        needs="ministack",
    ),
    "namespaces": _Lazy(
        "gateway_cli.namespaces.commands", "namespaces", "Set what each team's rules may name."
    ),
    "operations": _Lazy(
        "gateway_cli.operations", "operations", "List what operators did: who, when and why."
    ),
    "reconcile": _Lazy(
        "gateway_cli.reconcile.commands", "reconcile", "Find objects that started nothing; start them."
    ),
    "rerun": _Lazy("gateway_cli.rerun.commands", "rerun", "Start another run for a rule's events."),
    "rules": _Lazy(
        "gateway_cli.rules.commands", "rules", "Write, test, apply, explain and roll back routing rules."
    ),
    "runs": _Lazy("gateway_cli.runs.commands", "runs", "List the runs of a time; show one with its conf."),
    "status": _Lazy("gateway_cli.answers.status_command", "status", "Show the whole gateway on one screen."),
    "why": _Lazy(
        "gateway_cli.answers.why_command", "why", "Say what became of an event, and what puts it right."
    ),
}
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _LazyGroups(Group):
    """A group that imports a subcommand only to run it; listing the subcommands imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        here = (name for name, group in _GROUPS.items() if group.is_here)
        return sorted({*super().list_commands(ctx), *here})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _GROUPS[name].help) for name in self.list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _GROUPS:
            return super().get_command(ctx, cmd_name)
        group = _GROUPS[cmd_name]
        if not group.is_here:
            raise click.UsageError(
                f"`{cmd_name}` needs packages that are not installed: `make run` in a checkout installs them"
            )
        command: Any = getattr(import_module(group.module), group.name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_LazyGroups, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="mwaa-gateway")
def cli() -> None:
    """Start exactly one Airflow DAG run on Amazon MWAA for every event and matching rule.

    \b
    Examples:
      mwaa-gateway why s3://acme-landing/orders/2026-11-22.csv
      mwaa-gateway rules apply rules/ --stack-name mwaa-gateway
      mwaa-gateway rules list --local
      mwaa-gateway dlq list --newer-than 2h
    """
    print_any_character()


def main() -> None:
    """Run the command; the console script's entry point."""
    cli()
