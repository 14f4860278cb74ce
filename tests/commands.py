"""The commands of `mwaa-gateway`, for tests that none of them may escape."""

from collections.abc import Iterator

import click

__all__ = ["commands_with"]


def commands_with(option: str, command: click.Command, context: click.Context, *path: str) -> Iterator[str]:
    """Yield the words of every command that takes an option."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands_with(option, below, context, *path, name)
    elif any(option in parameter.opts for parameter in command.params):
        yield " ".join(path)
