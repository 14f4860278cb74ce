"""A group of commands that suggests the nearest command for a misspelt one, as click does for options."""

import difflib

import click

EXIT_CODES = """\b
Exit codes of every command:
  0  done (or nothing to do)
  1  refused, or done only in part: the reason is on stderr
  2  the command line is wrong
"""


class Group(click.Group):
    """A `click.Group` with suggestions."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or refuse it and suggest the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                error.message = f"{error.message} Did you mean {near[0]!r}?"
            raise
