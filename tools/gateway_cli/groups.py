"""A group of commands that answers a misspelt one with the command that was probably meant, as click does for options."""

import difflib

import click

__all__ = ["Group"]


class Group(click.Group):
    """A `click.Group` with suggestions."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or refuse it with the nearest of those there are."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                error.message = f"{error.message} Did you mean {near[0]!r}?"
            raise
