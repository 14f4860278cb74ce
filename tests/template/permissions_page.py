"""docs/permissions.md: what each role and policy of template.yaml allows, written from the template.

`python tests/template/permissions_page.py` writes the tables.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script; the tests have it on their path

from template.expansion import EVERYTHING, ROOT, expand_template, read_source, statements

__all__ = ["BEGIN", "END", "PAGE", "tables"]

PAGE: Final = ROOT / "docs" / "permissions.md"
BEGIN, END = "<!-- generated: python tests/template/permissions_page.py -->\n", "<!-- end -->\n"
ENVIRONMENT: Final = "analytics"
# What every function's role has: its own log group, traces, its VPC interfaces, the key through AWS services, its settings.
COMMON: Final = {"WriteLogs", "WriteTraces", "UseKeyThroughServices", "ReadOwnSettings"}


def tables(source: Mapping[str, Any]) -> str:
    """Return a table of the roles and one of the managed policies: a row for each statement."""
    template = expand_template(source, {**EVERYTHING, "Environments": ENVIRONMENT})
    roles = {
        name: [
            statement for policy in role.get("Policies", []) for statement in _rows(policy["PolicyDocument"])
        ]
        for name, role in sorted(template.of_type("AWS::IAM::Role").items())
    }
    policies = {
        name: list(_rows(policy["PolicyDocument"]))
        for name, policy in sorted(template.of_type("AWS::IAM::ManagedPolicy").items())
    }
    return f"\n{_table('role', roles)}\n{_table('policy', policies)}\n"


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for actions, resources, statement in statements(document):
        if statement.get("Sid") in COMMON or all(action.startswith("ec2:") for action in actions):
            continue
        yield (
            "" if statement["Effect"] == "Allow" else "**never** ",
            ", ".join(f"`{action}`" for action in sorted(actions)),
            ", ".join(f"`{_plain(resource)}`" for resource in sorted(resources)),
            "; ".join(
                f"{key} {', '.join(map(str, value if isinstance(value, list) else [value]))}"
                for condition in statement.get("Condition", {}).values()
                for key, value in condition.items()
            ),
        )


def _table(kind: str, holders: Mapping[str, list[tuple[str, str, str, str]]]) -> str:
    lines = [f"| {kind} | may | on | only if |\n", "|---|---|---|---|\n"]
    for holder, rows in holders.items():
        name = holder.replace(ENVIRONMENT, "…")
        for effect, actions, resources, condition in rows:
            lines.append(f"| `{name}` | {effect}{actions} | {resources} | {_plain(condition)} |\n")
    return "".join(lines)


def _plain(text: str) -> str:
    """Shorten what is the same for everybody: account, region, partition, and the environment's name."""
    text = re.sub(r"arn:aws:([a-z0-9]+):[a-z0-9-]*:\d*:", r"\1:", text)
    text = re.sub(r"<(\w+)\.Arn>", r"\1", text)
    return text.replace(f"acme-prod-{ENVIRONMENT}", "…").replace(ENVIRONMENT, "…").replace("|", "\\|")


if __name__ == "__main__":
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(head + BEGIN + tables(read_source()) + END + rest.split(END)[1], encoding="utf-8")
