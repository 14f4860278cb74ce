"""The policies of the stack's outputs: each command is run by a user who has that one policy, under enforced IAM."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from commands import commands_with
from console_pages import assert_every_page_is_read
from fakes.batches import LateMembersInMemory, TimersInMemory
from fakes.object_claims import FakeClaims
from fakes.requests import a_request
from gateway_cli.connection import Connection
from gateway_cli.dlq import received_messages
from gateway_cli.main import cli
from gateway_cli.namespaces.store import NamespacesStore, StoredNamespace
from gateway_cli.reconcile import commands as reconcile_commands
from gateway_cli.rules.store import RulesStore
from local_stack.aws import LocalAws
from local_stack.deploy import deploy
from local_stack.ministack import REGION, MiniStack
from local_stack.ports import free_port
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.aws.sqs.queues import IngressDeadLetterQueue
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.events import Event
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.ingress.ingest import DeadEvent
from mwaa_gateway.ingress.shadow import ShadowRecord
from mwaa_gateway.outcomes import Held, Reason, Rejected
from mwaa_gateway.routing.members import Member, MemberMessage
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespace
from mwaa_gateway.trigger_request import TriggerRequest

ROOT = Path(__file__).parents[2]
STACK = "mwaa-gateway"
RULE = "finance.orders"  # of `a_request`
RULES = """\
- id: finance.orders
  pattern: {source: [acme.orders]}
  target: {environment: analytics, dag_id: ingest_orders}
"""
ALLOWED = "- {namespace: finance, sources: [acme.orders], environments: [analytics], dag_ids: ['*']}\n"
EVENT: dict[str, Any] = {
    "version": "0",
    "id": "e-1",
    "source": "acme.orders",
    "detail-type": "Order Placed",
    "account": "123456789012",
    "time": "2026-11-22T10:00:00Z",
    "region": REGION,
    "resources": [],
    "detail": {},
}
# Each command with the policy its page names: its words, and what it says when it has done its work. One that a policy
# holds back says so on stderr and exits with 1. `rules plan` exits with 2 where there is something to apply,
# `environments drain` with 1 where something is left.
WRITER, OPERATOR, READER = "RulesWriterPolicyArn", "OperatorPolicyArn", "ReadOnlyPolicyArn"
LOOKS = [
    ("rules validate rules.yaml", "1 rule"),
    ("rules plan rules.yaml", ""),
    ("rules test rules.yaml --event event.json", RULE),
    ("rules list", RULE),
    (f"rules show {RULE}", RULE),
    (f"rules explain {RULE} --event event.json", RULE),
    (f"rules history {RULE}", "v1"),
    (f"rules diff {RULE} v1 v2", ""),
    (f"rules shadow-report {RULE}", "1"),
    ("rules new --from s3://acme/{region}/*.csv --dag tried_new --environment analytics", "tried_new"),
    ("namespaces list", "finance"),
    ("namespaces show finance", "finance"),
    ("namespaces history finance", ""),
]
WRITES_RULES = [
    ("namespaces apply allowed.yaml", ""),
    ("rules apply rules.yaml", ""),
    (f"rules disable {RULE}", ""),
    (f"rules enable {RULE}", "released: [1-9]"),
    (f"rules disable {RULE}", ""),
    (f"rules rollback {RULE} v1", ""),
    ("rules import --bus default --environment analytics", ""),
    ("rules import --bucket acme-uploads --environment analytics --dag tried", ""),
    (f"rules delete {RULE} --yes", ""),
    ("namespaces delete finance --yes", ""),
]
LISTS = [
    ("batches list", RULE),
    ("batches show <batch>", RULE),
    ("held list", RULE),
    ("dlq list", "conf_refused"),
    ("dlq show <dead>", "conf_refused"),
    (f"rerun --rule {RULE} --state dead --dry-run", "would be rerun"),
    ("environments list", "analytics"),
    ("operations", ""),
    ("environments drain analytics --timeout 0s", "enabled rules"),
    ("claim-check policy analytics", "s3:GetObject"),
]
# Read with the read-only policy alone. `runs` and `events` need no rows: the log has no line here.
SEARCHES = [
    ("status", "no trouble|is dead"),
    ("why <dead>", "NOT KNOWN"),
    ("why e-1", "did not run|ran"),
    ("events tail --no-follow", ""),
    ("runs list", ""),
    ("runs show <dead>", "NOT KNOWN"),
]
OPERATES = [
    (f"batches release --rule {RULE}", "released: [1-9]"),
    (f"batches cancel --rule {RULE} --yes", "cancelled: [1-9]"),
    ("held release --rule finance.orders", "released: [1-9]"),
    ("held cancel --rule finance.orders --yes", "cancelled: [1-9]"),
    ("dlq redrive --rule finance.orders", "redriven: [1-9]"),
    ("dlq purge --all --yes", "purged: [1-9]"),
    (f"rerun --rule {RULE} --state dead", "rerun: [1-9]"),
    ("events send event.json", "sent"),
    (f"events send event.json --rule {RULE}", "sent as evt__"),
    ("environments pause analytics", "paused"),
    ("environments resume analytics", "running"),
    ("environments pause --all --reason moving", "analytics: paused"),
    ("environments resume --all", "running"),
]
CHECKS = [
    ("environments check", "analytics"),  # there is no MWAA here: it finds that
    ("operations analytics", "environments pause .*moving"),
]
CERTIFY = "environments certify analytics --disruptive"  # prints its policy itself
EXIT_CODES = {
    "rules plan": 2,
    "environments drain": 1,
    "environments check": 1,
    "why <dead>": 4,  # its lines are nowhere: no function wrote it
    "why e-1": 1,
}
COMMANDS = {
    WRITER: [*LOOKS, *WRITES_RULES],
    OPERATOR: [*LISTS, *OPERATES, *CHECKS],
    READER: [*LOOKS, *LISTS, *SEARCHES],
}


@dataclass(frozen=True, slots=True)
class Deployed:
    """The gateway's stack in a MiniStack of its own that enforces IAM; no Airflow."""

    aws: LocalAws
    outputs: dict[str, str]

    @property
    def ledger(self) -> LedgerTable:
        return LedgerTable(self.aws.client("dynamodb"), self.outputs["LedgerTableName"])

    def a_user_with(self, output: str) -> dict[str, str]:
        """A new user who has the one policy that an output of the stack names; what signs as that user."""
        return self.a_user(
            lambda iam, name: iam.attach_user_policy(UserName=name, PolicyArn=self.outputs[output])
        )

    def a_user(self, allow: Callable[[Any, str], object]) -> dict[str, str]:
        """A new user who may do what `allow` gives them."""
        iam, name = self.aws.client("iam"), f"user-{time.monotonic_ns()}"
        iam.create_user(UserName=name)
        allow(iam, name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
        }

    def hold(self, identity: str) -> TriggerRequest:
        """A request that waits for its rule."""
        request = a_request(identity)
        self.ledger.hold(request, Held(Reason.RULE_DISABLED, "the rule was disabled"), time.time())
        return request

    def kill(self, identity: str) -> TriggerRequest:
        """A request that is dead."""
        request = a_request(identity)
        attempt = self.ledger.begin_attempt(request, time.time())
        assert isinstance(attempt, Attempt)
        self.ledger.finish(attempt, Rejected(Reason.CONF_REFUSED, "Airflow refused it"), time.time())
        return request

    def shadow(self) -> None:
        """What the rule in SHADOW would have run."""
        record = ShadowRecord(
            RULE, 1, "default", "0a" * 32, "e-1", EVENT["time"], "acme.orders", "Order Placed", time.time()
        )
        ShadowRecords(self.aws.client("dynamodb"), self.outputs["LedgerTableName"]).record([record])

    def put_aside(self) -> None:
        """An event that nobody could use."""
        dead = DeadEvent(
            DeadEventReason.BROKEN_RULE, "the reason", {"id": "e-1"}, Event({"id": "e-1"}, "i"), RULE, 3
        )
        IngressDeadLetterQueue(self.aws.client("sqs"), self.outputs["IngressDlqUrl"]).publish([dead])

    def collect(self) -> str:
        """Another member of an open batch; the batch's id."""
        dynamodb = self.aws.client("dynamodb")
        collector = Collector(
            store=BatchesTable(dynamodb, self.outputs["BatchesTableName"], now=time.time),
            claims=FakeClaims(),
            manifests=ManifestBucket(lambda: self.aws.client("s3"), self.outputs["ClaimCheckBucketName"]),
            timers=TimersInMemory(),
            late_members=LateMembersInMemory(),
            new_id=lambda: uuid.uuid4().hex,
            now=lambda: 0.0,
        )
        name = uuid.uuid4().hex
        rule = parse_rule(
            yaml.safe_load(RULES)[0] | {"collect": {"quiet_period": "1h"}}, environments={"analytics"}
        )
        member = Member(name, {"uri": f"s3://acme/{name}"}, name)
        message = MemberMessage(RULE, 1, json.dumps(rule.document()), (), member, time.time())
        return collector.collect([message])[0].batch_id

    def something_of_everything(self) -> TriggerRequest:
        """Two more versions of a rule, an allow-list, a held request, an event put aside, an open batch, and a dead request.

        Returns that one.
        """
        dynamodb, rules_table = self.aws.client("dynamodb"), self.outputs["RulesTableName"]
        rules = RulesStore(dynamodb, rules_table)
        for version in ("first", "second"):
            document = {
                "id": RULE,
                "description": f"the {version}",
                "pattern": {"source": ["acme.orders"]},
                "target": {"environment": "analytics", "dag_id": "ingest_orders"},
            }
            rules.put(parse_rule(document, environments={"analytics"}), by="tests", now=datetime.now(UTC))
        allow_lists, allowed = (
            NamespacesStore(dynamodb, rules_table),
            Namespace.parse(yaml.safe_load(ALLOWED)[0]),
        )
        stored = allow_lists.everything().get(allowed.name, StoredNamespace(allowed.name))
        allow_lists.put(allowed, stored, by="tests", now=datetime.now(UTC))
        self.put_aside()
        self.shadow()
        self.collect()
        self.hold(f"held {time.monotonic_ns()}")
        return self.kill(f"dead {time.monotonic_ns()}")

    def everything(self) -> list[Any]:
        """Every item of the tables."""
        tables = [self.outputs[f"{table}TableName"] for table in ("Rules", "Ledger", "Batches")]
        return [self.aws.client("dynamodb").scan(TableName=table)["Items"] for table in tables]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """template.yaml itself, with a bucket to import from."""
    folder = tmp_path_factory.mktemp("policies")
    ministack = MiniStack(root=ROOT, state_folder=folder, log_folder=folder, port=free_port())
    ministack.start()
    try:
        aws = LocalAws(ministack.endpoint_url)
        deployment = deploy(
            aws,
            template_file=ROOT / "template.yaml",
            stack_name=STACK,
            parameters={"Environments": "analytics", "Transports": "cli"},
            python=ROOT / ".venvs" / "lambda" / "bin" / "python",
            state_folder=folder,
            environment={},
        )
        aws.client("s3").create_bucket(
            Bucket="acme-uploads", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        functions = aws.client("lambda")
        for source in functions.list_event_source_mappings()["EventSourceMappings"]:
            functions.update_event_source_mapping(
                UUID=source["UUID"], Enabled=False
            )  # what is sent stays there
        yield Deployed(aws, dict(deployment.outputs))
    finally:
        ministack.stop()


@pytest.fixture
def run_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str], str], Result]:
    """Run a command as somebody, by the stack's name, in a folder with a rule, allow-lists and an event."""
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "allowed.yaml").write_text(ALLOWED.replace("*", "ingest_*"))
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(received_messages, "WAIT_SECONDS", 0)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(user: dict[str, str], words: str) -> Result:
        for name, value in user.items():
            monkeypatch.setenv(name, value)
        names = commands_with("--stack-name", cli, click.Context(cli))
        of_a_stack = ["--stack-name", STACK] if any(words.startswith(name) for name in names) else []
        return CliRunner(mix_stderr=False).invoke(cli, [*words.split(), *of_a_stack])

    return run


@pytest.mark.parametrize("policy", [WRITER, OPERATOR, READER])
def test_every_command_runs_with_the_policy_its_page_names_and_nothing_else(deployed, run_as, policy):
    """By the stack's name, as a user with that one policy; `rules enable` releases what was held, too."""
    user = deployed.a_user_with(policy)
    for said_as, said in COMMANDS[policy]:
        dead = deployed.something_of_everything()
        words = said_as.replace("<dead>", dead.target.run_id).replace("<batch>", deployed.collect())
        result = run_as(user, words)
        shown = f"mwaa-gateway {words}\n{result.output}\n{result.stderr}"
        # MiniStack asks for iam:SimulatePrincipalPolicy on "*"; AWS on the role it is about.
        assert "not authorized" not in shown.replace(
            "not authorized to perform: iam:SimulatePrincipalPolicy", ""
        ), shown
        assert result.exit_code == EXIT_CODES.get(" ".join(said_as.split()[:2]), 0), shown
        assert re.search(said, shown.partition("\n")[2]), shown


def test_the_console_looks_with_the_read_only_policy_and_nothing_else(deployed, run_as):
    """It scans the indexes where it may, and queries their shards where it may not."""
    deployed.something_of_everything()
    deployed.collect()
    assert (
        run_as(deployed.a_user_with(READER), "environments list").exit_code == 0
    )  # whose user it is from here
    assert_every_page_is_read(Connection(None, STACK, None, None, None, local=False, environment_names=()))


LISTS_THE_BUCKET = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": ["s3:GetBucketVersioning", "s3:ListBucket"],
        "Resource": "arn:aws:s3:::acme-uploads",
    },
}


@pytest.mark.parametrize(
    ("policy", "words", "exit_code"),
    [(READER, "", 3), (READER, " --apply", 1), (OPERATOR, "", 3), (OPERATOR, " --apply", 0)],
)
def test_reconcile_runs_with_the_policy_its_page_names_and_the_right_to_list_the_bucket(
    deployed, run_as, monkeypatch, tmp_path, *, policy, words, exit_code
):
    """Who may only look finds what never started, and starts nothing."""
    monkeypatch.setattr(reconcile_commands, "SETTLE_SECONDS", 0.0)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    deployed.aws.client("s3").put_object(Bucket="acme-uploads", Key=f"{tmp_path.name}/1.csv", Body=b"1")
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": ["acme-uploads"]}}}
    rule = {"id": "uploads.all", "pattern": pattern, "target": {"environment": "analytics", "dag_id": "load"}}
    rules = RulesStore(deployed.aws.client("dynamodb"), deployed.outputs["RulesTableName"])
    rules.put(parse_rule(rule, environments={"analytics"}), by="tests", now=datetime.now(UTC))

    def allow(iam: Any, name: str) -> None:
        iam.attach_user_policy(UserName=name, PolicyArn=deployed.outputs[policy])
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(LISTS_THE_BUCKET))

    uri = f"s3://acme-uploads/{tmp_path.name}/"
    result = run_as(deployed.a_user(allow), f"reconcile {uri} --rule uploads.all --older-than 0s{words}")

    assert result.exit_code == exit_code, result.output + result.stderr
    assert ("not authorized" in result.stderr) == (exit_code == 1), result.stderr
    if exit_code != 1:
        assert ("STARTED" if words else "never") in result.stdout


def test_certify_runs_with_the_policy_it_prints_and_nothing_else(deployed, run_as):
    """There is no MWAA here, and no dispatcher at work: what it may ask, it asks, and finds that."""
    printed = run_as(deployed.a_user_with(READER), f"{CERTIFY} --print-policy").stdout
    user = deployed.a_user(
        lambda iam, name: iam.put_user_policy(UserName=name, PolicyName="certify", PolicyDocument=printed)
    )
    result = run_as(user, f"{CERTIFY} --patience 1s --report report.json")
    assert result.exit_code == 1, result.output
    assert "✓ dead-sns" in result.stdout, result.stdout
    for denied in ("you may not", "was denied", "AccessDenied", "not authorized"):
        assert denied not in result.stdout + result.stderr, result.stdout


@pytest.mark.parametrize(
    "words", sorted({words for words, _ in (*WRITES_RULES, *OPERATES) if "import" not in words})
)
def test_who_may_only_look_changes_nothing(deployed, run_as, words):
    """Each command that writes is refused by IAM, and says which permission is missing."""
    deployed.something_of_everything()
    before = deployed.everything()

    result = run_as(deployed.a_user_with(READER), words)

    assert result.exit_code == 1, result.output
    assert "AccessDenied" in result.stderr or "not authorized" in result.stderr, result.stderr
    assert deployed.everything() == before


def test_every_command_that_asks_a_stack_is_tried_with_some_policy():
    """A new command is added above, with the policy its page names."""
    tried = [words for commands in COMMANDS.values() for words, _ in commands]
    tried += [CERTIFY, "console", "reconcile"]
    untried = [
        name
        for name in commands_with("--stack-name", cli, click.Context(cli))
        if not any(words.startswith(name) for words in tried)
    ]
    assert untried == []
