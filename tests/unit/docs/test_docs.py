"""What the documentation says is so: links, commands, settings and examples are checked against the project."""

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml

from gateway_cli.certify.questions import IDS
from gateway_cli.namespaces.commands import namespaces
from gateway_cli.rules.commands import rules
from gateway_cli.rules.files import check_rules
from mwaa_gateway.airflow.cli import IMPORT_ERRORS_COMMAND, list_command, look_up_command, trigger_command
from mwaa_gateway.airflow.cli_runs import list_runs_command
from mwaa_gateway.conf import origin_of
from mwaa_gateway.events import Event
from mwaa_gateway.outcomes import HeldReason
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespace
from mwaa_gateway.settings.airflow import DispatcherSettings, DoctorSettings, RunWatcherSettings
from mwaa_gateway.settings.feeds import CollectorSettings, ReleaserSettings, TimersSettings
from mwaa_gateway.settings.ingress import IngressSettings, QueuedEventsSettings, TaskSettings
from mwaa_gateway.settings.step_functions import EndedExecutionsSettings
from mwaa_gateway.trigger_request import ResolvedTarget

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link is a file or folder of the project."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    dead = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert [] == dead


def anchors(page: Path) -> set[str]:
    """Every heading of a page as GitHub links to it."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_name_a_heading(page: Path) -> None:
    """A link to a part of a page, of this one or another, names a heading that exists."""
    links = re.findall(r"\]\((?!http)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    dead = [f"{to}#{part}" for to, part in links if part not in anchors(page.parent / to if to else page)]
    assert [] == dead


def settings_table(settings: Any) -> str:
    """The table of one settings class, as docs/settings.md has it."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, setting in settings.variables().items():
        match setting.default:
            case default if default is MISSING:
                shown = "required"
            case default if default in ("", frozenset()):
                shown = "empty"
            case default:
                shown = (
                    f"`{default:g}`"
                    if isinstance(default, int | float) and default < 10_000
                    else f"`{default}`"
                )
        rows.append(f"| `{name}` | {shown} | {setting.metadata['explained']} |")
    return "\n".join(rows)


@pytest.mark.parametrize(
    "settings",
    [
        IngressSettings,
        QueuedEventsSettings,
        CollectorSettings,
        ReleaserSettings,
        TimersSettings,
        TaskSettings,
        DispatcherSettings,
        EndedExecutionsSettings,
        RunWatcherSettings,
        DoctorSettings,
    ],
)
def test_the_settings_page_is_the_code(settings: type) -> None:
    """A setting that is added, changed or removed shows here; the expected table is printed."""
    assert settings_table(settings) in (ROOT / "docs" / "settings.md").read_text(), settings_table(settings)


def test_the_readmes_make_targets_exist() -> None:
    """The two commands, and every other `make …` of any page."""
    targets = set(re.findall(r"^([a-z0-9.-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`?\bmake ([a-z][a-z0-9.-]+)", page.read_text())}
    assert {"run", "test"} <= named & targets
    assert {name for name in named if f"`make {name}" in "".join(p.read_text() for p in PAGES)} <= targets


@pytest.mark.parametrize("page", ["README.md", "docs/rules.md", "docs/feeds.md", "docs/step-functions.md"])
def test_the_rules_shown_are_valid(page: str) -> None:
    """Every YAML block that begins with an id is a rule that could be applied."""
    blocks = [
        b
        for b in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        if b.startswith("id:")
    ]
    assert blocks
    for block in blocks:
        parse_rule(yaml.safe_load(block), environments={"analytics"})


def test_the_conf_shown_to_dag_authors_has_every_key_of_its_origin() -> None:
    """The page for DAG authors shows what ingest really writes."""
    shown = json.loads(
        re.search(r"```json\n(.*?)```", (ROOT / "docs/dag-authors.md").read_text(), re.DOTALL)[1]
    )
    event = Event({"id": "1", "time": "", "source": "", "detail-type": ""}, "identity")
    written = origin_of(event, rule_id="orders", rule_version=1, target_id="default")
    assert set(written) == set(shown["mwaa_gateway"])


def test_the_security_page_says_what_holders_of_a_policy_may_do() -> None:
    """A row for each policy of the stack's outputs, and as many attributes of a request as an operator may change."""
    template, page = ((ROOT / name).read_text() for name in ("template.yaml", "SECURITY.md"))
    policies = re.findall(r"^  (\w+Policy)Arn:$", template, re.MULTILINE)
    assert len(policies) == 3
    for policy in policies:
        assert f"| a holder of `{policy}` |" in page
    [attributes] = re.findall(r'"dynamodb:Attributes":\n((?: +- \w+\n)+)', template)
    changed = attributes.replace("-", "").split()
    keys = {"event", "request"}
    assert keys < set(changed)
    numbers = {8: "eight", 9: "nine", 10: "ten", 11: "eleven"}
    assert f"the {numbers[len(set(changed) - keys)]} attributes that record its state" in page


@pytest.mark.parametrize("page", ["docs/verified-on-aws.md", "docs/certify.md"])
def test_the_questions_of_certify_are_on_the_page(page: str) -> None:
    """Each by its id, and no other: the last column of one table, the first of the others."""
    column = -2 if "verified" in page else 1
    rows = [row.split("|") for row in (ROOT / page).read_text().splitlines() if row.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row[column])} - {
        "rest",
        "certify",
    }
    if "verified" in page:
        named |= {"environment", "canary"}  # they ask whether it can be asked at all
    assert named == set(IDS)
    assert page != "docs/verified-on-aws.md" or all(len(row) == 5 and row[3].strip() for row in rows)


def commands(group: click.Group, *path: str) -> Iterator[str]:
    """Every command of a group, by its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name))


@pytest.mark.parametrize("command", [*commands(rules, "rules"), *commands(namespaces, "namespaces")])
def test_every_command_on_rules_is_on_the_page(command: str) -> None:
    """By its whole words, so that it can be found and copied."""
    page = (ROOT / "docs" / "rules-as-code.md").read_text()
    assert re.search(rf"\bmwaa-gateway {command}\b", page)


def test_the_files_shown_on_the_page_are_valid(tmp_path: Path) -> None:
    """The rule file with its stage, and the allow-lists."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "rules-as-code.md").read_text(), re.DOTALL)
    rule_file, stage, _, allow_lists = blocks
    (tmp_path / "rules.yaml").write_text(rule_file)
    (tmp_path / "prod.yaml").write_text(stage)
    checked, mistakes = check_rules(
        [tmp_path / "rules.yaml"], environments={"analytics"}, variable_files=[tmp_path / "prod.yaml"]
    )
    assert ([rule.rule.id for rule in checked], mistakes) == (["finance.orders", "finance.refunds"], [])
    assert [Namespace.parse(one).name for one in yaml.safe_load(allow_lists)] == ["finance", "*"]


def test_the_page_on_held_requests_has_every_reason() -> None:
    """One row each, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| its ", (ROOT / "docs" / "held.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(get_args(HeldReason))


RUN = ResolvedTarget("analytics", "dag", "run", {})


@pytest.mark.parametrize(
    ("function", "commands"),
    [
        (
            "a dispatcher",
            [
                trigger_command(RUN),
                look_up_command(RUN),
                list_command(),
                IMPORT_ERRORS_COMMAND,
            ],
        ),
        ("a run watcher", [list_runs_command("dag", 0.0, dag_argument=False), look_up_command(RUN)]),
    ],
)
def test_the_security_page_names_the_commands_of_each_function(function: str, commands: list[str]) -> None:
    """As their builders write them."""
    [row] = re.findall(
        rf"^\| {function}[^|]*\| request a CLI token.*$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE
    )
    named = set(re.findall(r"`((?:dags|tasks) [a-z-]+)`", row))
    assert named == {" ".join(command.split()[:2]) for command in commands}
