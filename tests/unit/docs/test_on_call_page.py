"""docs/on-call.md against the template and the commands: each alarm has one row, and each command can be typed."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gateway_cli.main import cli
from template.expansion import EVERYTHING, expand_template, read_source

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "on-call.md").read_text(encoding="utf-8")
ROWS = {
    anchor: (re.findall(r"`([^`]+)`", alarms), meaning, command)
    for anchor, alarms, meaning, command in re.findall(
        r'^\| <a id="([a-z-]+)"></a>([^|]+) \| ([^|]+) \| `([^`|]+)` \|$', PAGE, re.MULTILINE
    )
}
COMMANDS = sorted(
    {*(command for _, _, command in ROWS.values()), *re.findall(r"`(mwaa-gateway [^`]+)`", PAGE)}
    | set(re.findall(r"^\$ (mwaa-gateway .*?)(?:  +#.*)?$", PAGE, re.MULTILINE))
)


def test_every_alarm_has_one_row_and_links_to_it() -> None:
    """By the anchor at the end of its description; the row names the alarm, and no row is left over."""
    template = expand_template(read_source(), {**EVERYTHING, "Environments": "analytics,legacy"})
    alarms = {
        **template.of_type("AWS::CloudWatch::Alarm"),
        **template.of_type("AWS::CloudWatch::CompositeAlarm"),
    }
    linked = set()
    for name, alarm in alarms.items():
        found = re.fullmatch(r".* docs/on-call\.md#([a-z-]+)", alarm["AlarmDescription"])
        assert found is not None, name
        assert found[1] in ROWS, name
        patterns = [re.escape(one).replace("…", r"\w+") for one in ROWS[found[1]][0]]
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name
        linked.add(found[1])
    assert linked == set(ROWS)


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("mwaa-gateway")])
def test_every_command_can_be_typed(line: str) -> None:
    """Its words and options exist, with as many arguments as it takes."""
    command: click.Command = cli
    context = click.Context(cli)
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, parent=context)
    if line.endswith(("rules rollback", "events send")):
        return  # named in a sentence, without what it is about
    command.parse_args(context, words)


def test_every_row_begins_with_a_command_of_the_gateway_or_of_aws() -> None:
    """Something to type, for each alarm."""
    assert len(ROWS) > 40
    assert all(command.startswith(("mwaa-gateway ", "aws ")) for _, _, command in ROWS.values())
