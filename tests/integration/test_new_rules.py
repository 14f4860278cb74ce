"""`mwaa-gateway rules new | import`: first rule files, which can be applied as they are."""

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
import yaml
from click.testing import Result

Gateway = Callable[..., Result]
NEW = ("rules", "new", "--from", "s3://acme-landing/orders/*.csv", "--dag")


class TestNew:
    """One command from a bucket to a rule."""

    @pytest.mark.parametrize("dag_id", ["ingest_orders", "no", "012", "1e3", "x" * 120])
    def test_what_is_printed_can_be_applied(self, gateway: Gateway, folder: Path, dag_id: str) -> None:
        """Whatever the DAG is called: it is quoted where a reader would take it for something else."""
        (folder / "new.yaml").write_text(gateway(*NEW, dag_id, "--environment", "analytics").stdout)
        gateway("rules", "apply", "new.yaml")
        [rule] = json.loads(gateway("rules", "list", "-o", "json").stdout)
        assert rule["targets"] == [{"id": "default", "environment": "analytics", "dag_id": dag_id}]

    def test_it_writes_a_file_and_no_other(self, gateway: Gateway, folder: Path) -> None:
        """One that is there already is left alone."""
        words = (
            *NEW,
            "ingest",
            "--environment",
            "analytics",
            "--id",
            "finance.orders",
            "--to",
            "rules/orders.yaml",
        )
        assert gateway(*words).stdout == "finance.orders → rules/orders.yaml\n"
        assert gateway("rules", "validate", "rules").stdout == "1 rule in 1 file: valid\n"
        (folder / "rules" / "orders.yaml").write_text("mine")
        assert "rules/orders.yaml exists already" in gateway(*words, exit_code=1).stderr
        assert (folder / "rules" / "orders.yaml").read_text() == "mine"

    def test_the_environment(self, gateway: Gateway, gateway_outputs: dict[str, str]) -> None:
        """The gateway's own where it has one; never a guess."""
        assert "use --environment" in gateway(*NEW, "ingest", exit_code=2).stderr
        stack = (*NEW, "ingest", "--stack-name", "mwaa-gateway")
        assert "known are: analytics, reporting" in gateway(*stack, exit_code=1).stderr
        gateway_outputs["EnvironmentNames"] = "reporting"
        assert yaml.safe_load(gateway(*stack).stdout)["target"]["environment"] == "reporting"

    def test_what_is_no_upload(self, gateway: Gateway) -> None:
        """The error reads like a mistake in a rule."""
        words = (
            "rules",
            "new",
            "--from",
            "acme-landing/orders",
            "--dag",
            "ingest",
            "--environment",
            "analytics",
        )
        assert "write s3://bucket/key" in gateway(*words, exit_code=1).stderr

    def test_named_pieces_become_captures_and_fields_of_the_conf(self, gateway: Gateway) -> None:
        """So that the first file is one that does something; `*` beside them is a piece that nobody needs."""
        source = "s3://acme-landing/orders/{region}/dt={date}/*.csv"
        words = (
            "rules",
            "new",
            "--from",
            source,
            "--dag",
            "ingest",
            "--environment",
            "analytics",
            "-o",
            "json",
        )
        rule = json.loads(gateway(*words).stdout)["rule"]
        assert rule["captures"] == {"detail.object.key": "orders/{region}/dt={date}/{_*}.csv"}
        assert rule["pattern"]["detail"]["object"]["key"] == [{"wildcard": "orders/*/dt=*/*.csv"}]
        template = rule["targets"][0]["input_transformer"]["input_template"]
        assert (template["region"], template["date"]) == ("<region>", "<date>")
        several = [word.replace("orders/", "*/") for word in words]
        assert "only one piece may contain" in gateway(*several, exit_code=1).stderr


class TestSchema:
    """What editors complete and check from."""

    def test_it_is_printed_or_written(self, gateway: Gateway, folder: Path) -> None:
        """The same either way; `new` writes it where the file's first line says."""
        printed = gateway("rules", "schema").stdout
        gateway("rules", "schema", "--to", "schema.json")
        gateway(*NEW, "ingest", "--environment", "analytics", "--to", "rules/a.yaml")
        first_line = (folder / "rules" / "a.yaml").read_text().splitlines()[0]
        beside = folder / "rules" / first_line.rpartition("=")[2]
        assert printed == (folder / "schema.json").read_text() == beside.read_text()
        assert gateway("rules", "validate", "rules").stdout == "1 rule in 1 file: valid\n"
        assert (
            "cannot write no/such/folder"
            in gateway("rules", "schema", "--to", "no/such/folder", exit_code=1).stderr
        )


class TestImport:
    """From an account that starts its DAGs another way."""

    @pytest.fixture
    def account(self, gateway: Gateway) -> Gateway:
        """A bus with two rules, and a bucket that notifies a queue."""
        events, s3, sqs = boto3.client("events"), boto3.client("s3"), boto3.client("sqs")
        events.create_event_bus(Name="acme")
        events.put_rule(Name="Closed", EventBusName="acme", EventPattern='{"source": ["acme.ledger"]}')
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:start"
        events.put_targets(
            Rule="Closed", EventBusName="acme", Targets=[{"Id": "1", "Arn": arn, "InputPath": "$.detail"}]
        )
        events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)")
        events.put_rule(Name="leads", EventPattern='{"source": ["acme.crm"]}', State="DISABLED")
        sqs.create_queue(QueueName="uploads")
        queue = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName="uploads")["QueueUrl"], AttributeNames=["QueueArn"]
        )
        s3.create_bucket(Bucket="acme-landing", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        configuration = {
            "Id": "orders",
            "QueueArn": queue["Attributes"]["QueueArn"],
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "orders/"}]}},
        }
        s3.put_bucket_notification_configuration(
            Bucket="acme-landing", NotificationConfiguration={"QueueConfigurations": [configuration]}
        )
        return gateway

    def test_a_bus_and_a_bucket_become_a_file(self, account: Gateway) -> None:
        """The rule is valid, and the command lists what to check."""
        words = (
            "--environment",
            "analytics",
            "--namespace",
            "finance",
            "--state",
            "ENABLED",
            "--to",
            "all.yaml",
        )
        shown = account("rules", "import", "--bus", "acme", "--bucket", "acme-landing", *words)
        assert shown.stdout == "2 rules → all.yaml\n"
        assert "Check: rule Closed, target 1: its old target is arn:aws:lambda" in shown.stderr
        assert "Never matches yet: rule Closed: the gateway receives nothing from bus acme" in shown.stderr
        account("rules", "apply", "all.yaml")
        rules = json.loads(account("rules", "list", "-o", "json").stdout)
        assert [(rule["id"], rule["state"], rule["partitions"]) for rule in rules] == [
            ("finance.closed", "ENABLED", ["acme.ledger#*"]),
            ("finance.orders", "ENABLED", ["aws.s3#acme-landing"]),
        ]

    def test_what_is_not_carried_over_is_listed(self, account: Gateway) -> None:
        """The default bus has a schedule; the rule that is switched off stays so."""
        shown = account(
            "rules", "import", "--bus", "default", "--environment", "analytics", "--state", "ENABLED"
        )
        [rule] = yaml.safe_load(shown.stdout)["rules"]
        assert (rule["id"], rule["state"]) == ("leads", "DISABLED")
        assert "Not carried over: rule hourly: it is a schedule (rate(1 hour))" in shown.stderr

    def test_as_json(self, account: Gateway) -> None:
        """Rules, notes, and what is not carried over."""
        words = ("--bus", "default", "--environment", "analytics", "--state", "ENABLED", "-o", "json")
        shown = json.loads(account("rules", "import", *words).stdout)
        assert [[rule["id"] for rule in shown["rules"]], [left["what"] for left in shown["not_carried"]]] == [
            ["leads"],
            ["rule hourly"],
        ]

    def test_it_needs_something_to_import(self, account: Gateway) -> None:
        """A bus, a bucket, or both; the command names one that does not exist."""
        account("rules", "import", "--environment", "analytics", exit_code=2)
        shown = account("rules", "import", "--bus", "nothing", "--environment", "analytics", exit_code=1)
        assert "ListRules: " in shown.stderr
        assert "check the name" in shown.stderr
        shown = account("rules", "import", "--bucket", "nothing", "--environment", "analytics", exit_code=1)
        assert "check the name" in shown.stderr
