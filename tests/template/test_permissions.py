"""Who may do what: one role per function, nothing by way of a pattern that is not explained here."""

from collections import defaultdict

import pytest
from ministack.core import iam_evaluator

from gateway_cli.check.findings import Expected, needed_permissions
from mwaa_gateway.aws.dynamodb.object_claims import CLAIMS
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION
from mwaa_gateway.transports import parts
from template.expansion import EVERYTHING, statements

INGRESS_ROLES = ("S3EventsRole", "SnsEventsRole", "EventBridgeEventsRole", "QueuedEventsRole")
ACCOUNT = "123456789012"
TRIGGER_QUEUES = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-trigger-*"
LEDGER_LISTS = {"<LedgerTable.Arn>/index/stopped", "<LedgerTable.Arn>/index/watches"}
INGRESS_DLQS = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-ingress-dlq*"
TRIGGER_DLQS = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-trigger-dlq-*"
# DescribeStacks by a name is evaluated against this ARN, not against the stack's id.
STACK_BY_NAME = f"arn:aws:cloudformation:eu-central-1:{ACCOUNT}:stack/mwaa-gateway/*"
JOIN_VPC = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
# Actions that know no resources: the only ones that may be allowed on "*".
WITHOUT_RESOURCES = {
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    "states:SendTaskFailure",
    "states:SendTaskHeartbeat",
    "states:SendTaskSuccess",
    *JOIN_VPC,
}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}


@pytest.mark.parametrize("function", ["S3Events", "SnsEvents", "EventBridgeEvents"])
def test_what_an_ingress_function_may_do(expand, function):
    """Read rules, enqueue, keep what it cannot use and what Lambda gave up. No writing of rules, no MWAA."""
    assert _allowed(expand("analytics"), f"{function}Role") == {
        "<RulesTable.Arn>": {"dynamodb:BatchGetItem", "dynamodb:Query"},
        "<LedgerTable.Arn>": {"dynamodb:PutItem"},
        "<ClaimCheckBucket.Arn>/*": {"s3:PutObject"},
        TRIGGER_QUEUES: {"sqs:SendMessage"},
        "<IngressDlq.Arn>": {"sqs:SendMessage"},
        "<CollectQueue.Arn>": {"sqs:SendMessage"},
        "<IngressRetryQueue.Arn>": {"sqs:SendMessage"},
        f"<{function}LogGroup.Arn>": LOGS,
        "*": TRACES,
    }


@pytest.mark.parametrize("queues", ["", EVERYTHING["EventQueueArns"]])
def test_what_queued_events_may_do(expand, queues):
    """The same, and read the retry queue and the queues it was given; it cannot send itself anything to believe."""
    receive = {
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    }
    assert _allowed(expand("analytics", EventQueueArns=queues), "QueuedEventsRole") == {
        "<RulesTable.Arn>": {"dynamodb:BatchGetItem", "dynamodb:Query"},
        "<LedgerTable.Arn>": {"dynamodb:PutItem"},
        "<ClaimCheckBucket.Arn>/*": {"s3:PutObject"},
        TRIGGER_QUEUES: {"sqs:SendMessage"},
        "<IngressDlq.Arn>": {"sqs:SendMessage"},
        "<CollectQueue.Arn>": {"sqs:SendMessage"},
        "<IngressRetryQueue.Arn>": receive,
        **{queue: receive for queue in queues.split(",") if queue},
        "<QueuedEventsLogGroup.Arn>": LOGS,
        "*": TRACES,
    }


def test_what_each_function_of_feeds_may_do(expand):
    """Members become batches, and batches become requests: each does one step. Nothing deletes, nothing scans."""
    template = expand("analytics")
    receive = {
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    }
    assert _allowed(template, "BatchCollectorRole") == {
        "<BatchesTable.Arn>": {
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "<ClaimCheckBucket.Arn>/feeds/*": {"s3:GetObject"},
        "<LookQueue.Arn>": {"sqs:SendMessage"},
        "<IngressDlq.Arn>": {"sqs:SendMessage"},
        "<CollectQueue.Arn>": receive,
        "<BatchCollectorLogGroup.Arn>": LOGS,
        "*": TRACES,
    }
    assert _allowed(template, "BatchReleaserRole") == {
        "<BatchesTable.Arn>": {
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        },
        "<ClaimCheckBucket.Arn>/*": {"s3:PutObject"},
        TRIGGER_QUEUES: {"sqs:SendMessage"},
        "<CollectQueue.Arn>": {"sqs:SendMessage"},
        "<EventBus.Arn>": {"events:PutEvents"},
        "<LookQueue.Arn>": receive,
        "<BatchReleaserLogGroup.Arn>": LOGS,
        "*": TRACES,
    }
    assert _allowed(template, "BatchTimersRole") == {
        "<BatchesTable.Arn>/index/due": {"dynamodb:Query"},
        "<BatchesTable.Arn>": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "<RulesTable.Arn>": {"dynamodb:BatchGetItem", "dynamodb:Query"},
        "<LookQueue.Arn>": {"sqs:SendMessage"},
        "<BatchTimersLogGroup.Arn>": LOGS,
        "*": TRACES,
    }


def test_what_ended_executions_may_do(expand):
    """See which executions wait, and notify their watchers: no rule, no request, no token."""
    assert _allowed(expand("analytics"), "EndedExecutionsRole") == {
        "<LedgerTable.Arn>/index/watches": {"dynamodb:Query"},
        f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-watch-*": {"sqs:SendMessage"},
        "<EndedExecutionsQueue.Arn>": {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"},
        "<EndedExecutionsLogGroup.Arn>": LOGS,
        "*": TRACES,
    }


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_what_a_dispatcher_may_do(expand, environment):
    """Its queue, its DLQ, its environment; of the ledger everything but deleting and scanning."""
    assert _allowed(expand("analytics", "legacy"), f"DispatcherRole{environment}") == {
        f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/{environment}/User": {"airflow:InvokeRestApi"},
        "<RulesTable.Arn>": {"dynamodb:BatchGetItem"},
        "<LedgerTable.Arn>": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        f"<TriggerQueue{environment}.Arn>": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        },
        f"<TriggerDlq{environment}.Arn>": {"sqs:SendMessage"},
        f"<DispatcherLogGroup{environment}.Arn>": LOGS,
        "*": TRACES,
    }


def test_options_add_these_permissions_and_no_others(expand):
    """A key of one's own may be used by every role; the VPC and the other transports concern dispatchers alone."""
    queues = EVERYTHING["EventQueueArns"]
    plain, everything = expand("analytics", EventQueueArns=queues), expand("analytics", **EVERYTHING)
    for role in (*INGRESS_ROLES, "DispatcherRoleanalytics"):
        before, after = _allowed(plain, role), _allowed(everything, role)
        key = after.pop(EVERYTHING["KmsKeyArn"])
        assert key == {"kms:Decrypt", "kms:GenerateDataKey"}
        vpc = JOIN_VPC if role.startswith("Dispatcher") else set()
        assert after.pop("*") == before.pop("*") | vpc
        cli = after.pop(f"arn:aws:airflow:eu-central-1:{ACCOUNT}:environment/acme-prod-analytics", set())
        assert cli == ({"airflow:CreateCliToken"} if role.startswith("Dispatcher") else set())
        web = [actions for actions in after.values() if "airflow:CreateWebLoginToken" in actions]
        assert web == ([{"airflow:CreateWebLoginToken", "airflow:InvokeRestApi"}] if cli else [])
        for actions in web:
            actions.remove("airflow:CreateWebLoginToken")
        # MwaaEnvironmentName is another here: test_environments.py checks that the ARN follows it.
        assert sorted(map(sorted, after.values())) == sorted(map(sorted, before.values()))


INGRESS_SERVICES = {"dynamodb", "s3", "sqs"}


@pytest.mark.parametrize(
    ("holder", "services", "opens_directly"),
    [
        *((role, INGRESS_SERVICES, False) for role in INGRESS_ROLES),
        ("StepFunctionsTaskRole", INGRESS_SERVICES, False),
        ("EndedExecutionsRole", {"dynamodb", "sqs"}, False),
        ("BatchCollectorRole", INGRESS_SERVICES, False),
        ("BatchReleaserRole", INGRESS_SERVICES, False),
        ("BatchTimersRole", {"dynamodb", "sqs"}, False),
        ("DispatcherRoleanalytics", {"dynamodb", "sqs"}, False),
        ("RunWatcherRoleanalytics", {"dynamodb", "sqs"}, True),
        ("RulesWriterPolicy", {"dynamodb", "sqs"}, False),
        ("OperatorPolicy", {"dynamodb", "s3", "sqs"}, False),
        ("ReadOnlyPolicy", {"dynamodb", "sqs"}, False),
    ],
)
def test_with_a_key_of_your_own_only_the_watcher_opens_task_tokens(expand, holder, services, opens_directly):
    """The same key encrypts queues and tables: everybody uses it through those services, the watcher alone directly."""
    policies = _parsed(expand("analytics", **EVERYTHING), holder)

    def may_decrypt(**context):
        return _decision(policies, "kms:Decrypt", EVERYTHING["KmsKeyArn"], context) == "Allow"

    assert may_decrypt() == opens_directly
    through = {
        service
        for service in (
            "dynamodb",
            "events",
            "lambda",
            "logs",
            "s3",
            "secretsmanager",
            "sns",
            "sqs",
            "states",
        )
        if may_decrypt(**{"kms:ViaService": f"{service}.eu-central-1.amazonaws.com"})
    }
    assert through == (services if not opens_directly else through)
    if not opens_directly:
        a_token = {"kms:EncryptionContext:identity": "states|one", "kms:EncryptionContextKeys": ["identity"]}
        assert not may_decrypt(**a_token)


def test_functions_can_read_their_own_settings_where_a_key_of_yours_encrypts_them(expand):
    """Lambda decrypts a function's variables with the function's role, the function's ARN as encryption context."""
    template = expand("analytics", **EVERYTHING)
    for function in template.of_type("AWS::Lambda::Function").values():
        policies = _parsed(template, function["Role"].strip("<>").removesuffix(".Arn"))

        def may_read_settings_of(name, policies=policies):
            arn = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:{name}"
            context = {"kms:EncryptionContext:aws:lambda:FunctionArn": arn}
            return _decision(policies, "kms:Decrypt", EVERYTHING["KmsKeyArn"], context) == "Allow"

        assert may_read_settings_of(function["FunctionName"])
        assert may_read_settings_of("another") == ("RunWatcher" in function["Role"])  # may decrypt directly


@pytest.mark.parametrize("role", [*INGRESS_ROLES, "StepFunctionsTaskRole", "BatchReleaserRole"])
def test_what_enqueues_requests_cannot_write_a_dead_letter(expand, role):
    """The dead-letter queues' names begin as the trigger queues' do."""
    policies = _parsed(expand("analytics"), role)
    queue = TRIGGER_QUEUES.replace("*", "analytics")
    assert _decision(policies, "sqs:SendMessage", queue) == "Allow"
    assert _decision(policies, "sqs:SendMessage", TRIGGER_DLQS.replace("*", "analytics")) == "Deny"


def test_only_dispatchers_and_watchers_reach_airflow(deployed):
    """A CLI token may run any Airflow command: each has those of its own environment only."""
    holders = {
        (resource, role)
        for role in deployed.of_type("AWS::IAM::Role")
        for resource, actions in _allowed(deployed, role).items()
        if any(action.startswith("airflow:") or action == "*" for action in actions)
    }
    assert {role for _, role in holders} == {
        f"{function}Role{environment}"
        for function in ("Dispatcher", "RunWatcher")
        for environment in ("analytics", "legacy")
    }
    for resource, role in holders:
        assert role.partition("Role")[2] in resource
        assert "*" not in resource


@pytest.mark.parametrize("transport", ["cli", "rest", "web", "web/cli"])
def test_what_check_asks_of_a_dispatchers_role_is_what_it_needs(expand, transport):
    """`environments check` simulates each action that the role has, but for logs and traces."""
    template = expand("analytics", Transports=transport)
    needed = needed_permissions(
        Expected("analytics", "analytics", "eu-central-1", ACCOUNT, in_vpc=False),
        parts(transport),
        partition="aws",
        stack="mwaa-gateway",
        outputs={"LedgerTableName": "ledger", "RulesTableName": "rules"},
        rest_role="User",
    )
    table = f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table"
    queue = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-trigger"
    named = {
        "<LedgerTable.Arn>": f"{table}/ledger",
        "<RulesTable.Arn>": f"{table}/rules",
        "<TriggerQueueanalytics.Arn>": f"{queue}-analytics",
        "<TriggerDlqanalytics.Arn>": f"{queue}-dlq-analytics",
    }
    allowed = {
        (action, named.get(resource, resource))
        for resource, actions in _allowed(template, "DispatcherRoleanalytics").items()
        for action in actions - LOGS - TRACES
    }
    assert {(action, each.resource) for each in needed for action in each.actions} == allowed


def test_what_the_doctor_may_do(expand):
    """Write its log, and of each environment get a CLI token, or be Airflow's Viewer: no queue, table or key."""
    template = expand("analytics", "legacy", Transports="analytics=cli,legacy=rest")
    assert _allowed(template, "DoctorRole") == {"<DoctorLogGroup.Arn>": LOGS, "*": TRACES}
    everything = _allowed(expand("analytics", **EVERYTHING), "DoctorRole")
    assert everything == {
        "<DoctorLogGroup.Arn>": LOGS,
        "*": TRACES | JOIN_VPC,
        EVERYTHING["KmsKeyArn"]: {"kms:Decrypt"},
    }
    of_mwaa = {}
    for policy in template.of_type("AWS::IAM::Policy").values():
        assert policy["Roles"] == ["<DoctorRole>"]
        for actions, resources, statement in statements(policy["PolicyDocument"]):
            assert statement["Effect"] == "Allow"
            of_mwaa |= dict.fromkeys(resources, actions)
    mwaa = f"arn:aws:airflow:eu-central-1:{ACCOUNT}"
    assert of_mwaa == {
        f"{mwaa}:environment/analytics": {"airflow:CreateCliToken"},
        f"{mwaa}:environment/legacy": {"airflow:CreateCliToken"},
        f"{mwaa}:role/analytics/Viewer": {"airflow:InvokeRestApi"},
        f"{mwaa}:role/legacy/Viewer": {"airflow:InvokeRestApi"},
    }


def test_nobody_may_invoke_a_dispatcher(deployed):
    """Its input is a trigger request: who may invoke one starts any DAG. The doctor is the one function of operators."""
    invoked = {
        resource
        for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::IAM::Policy")
        for body in deployed.of_type(kind).values()
        for document in (body.get("PolicyDocument"), *(p["PolicyDocument"] for p in body.get("Policies", [])))
        if document
        for actions, resources, _ in statements(document)
        if any(action.startswith(("lambda:Invoke", "lambda:*")) for action in actions)
        for resource in resources
    }
    assert invoked == {"<DoctorFunction.Arn>"}


def test_what_a_state_may_have_done_and_what_its_watcher_may_do(expand):
    """The one seals tokens and never opens them; the other opens them, and starts nothing."""
    template = expand("analytics")
    assert _allowed(template, "StepFunctionsTaskRole") == {
        "<RulesTable.Arn>": {"dynamodb:BatchGetItem", "dynamodb:Query"},
        "<LedgerTable.Arn>": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "<ClaimCheckBucket.Arn>/*": {"s3:PutObject"},
        TRIGGER_QUEUES: {"sqs:SendMessage"},
        f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mwaa-gateway-watch-*": {"sqs:SendMessage"},
        "<TaskTokenKey.Arn>": {"kms:Encrypt"},
        "<StepFunctionsTaskLogGroup.Arn>": LOGS,
        "*": TRACES,
    }
    assert _allowed(template, "RunWatcherRoleanalytics") == {
        f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/analytics/User": {"airflow:InvokeRestApi"},
        "<LedgerTable.Arn>/index/watches": {"dynamodb:Query"},
        "<LedgerTable.Arn>": {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"},
        "<TaskTokenKey.Arn>": {"kms:Decrypt"},
        "<WatchQueueanalytics.Arn>": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        },
        "<RunWatcherLogGroupanalytics.Arn>": LOGS,
        "*": TRACES | {"states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess"},
    }


@pytest.mark.parametrize("role", ["User", "Op"])
@pytest.mark.parametrize(
    ("transports", "expected"),
    [
        ("rest", {"airflow:InvokeRestApi"}),
        ("cli", {"airflow:CreateCliToken"}),
        ("analytics=rest,legacy=cli", {"airflow:InvokeRestApi", "airflow:CreateCliToken"}),
        ("analytics=cli,legacy=cli", {"airflow:CreateCliToken"}),
        ("web", {"airflow:CreateWebLoginToken"}),
        ("analytics=web,legacy=rest", {"airflow:CreateWebLoginToken", "airflow:InvokeRestApi"}),
        ("web/cli", {"airflow:CreateWebLoginToken", "airflow:CreateCliToken"}),
        ("analytics=web/rest,legacy=web", {"airflow:CreateWebLoginToken", "airflow:InvokeRestApi"}),
    ],
)
def test_a_function_may_use_the_transports_of_its_stack_and_no_other(expand, transports, expected, role):
    """In its own environment; in a stack that has several, each function may use all of them."""
    resources = {
        "airflow:CreateWebLoginToken": f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/acme-{{}}/{role}",
        "airflow:InvokeRestApi": f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/acme-{{}}/{role}",
        "airflow:CreateCliToken": f"arn:aws:airflow:eu-central-1:{ACCOUNT}:environment/acme-{{}}",
    }
    template = expand(
        "analytics",
        "legacy",
        MwaaEnvironmentName="acme-{environment}",
        Transports=transports,
        RestApiRole=role,
    )
    for environment in ("analytics", "legacy"):
        for name in ("DispatcherRole", "RunWatcherRole"):
            allowed = {
                resource: actions
                for resource, actions in _allowed(template, f"{name}{environment}").items()
                if any(action.startswith("airflow:") for action in actions)
            }
            by_resource = defaultdict(set)
            for action in expected:
                by_resource[resources[action].format(environment)].add(action)
            assert allowed == by_resource


def test_names_of_environments_give_no_transport(expand):
    """The conditions look for a transport after an equals sign or a slash."""
    template = expand("web", "restaurant", "cli", Transports="web=rest,restaurant=rest,cli=rest")
    assert {
        action
        for actions in _allowed(template, "DispatcherRoleweb").values()
        for action in actions
        if action.startswith("airflow:")
    } == {"airflow:InvokeRestApi"}


def test_the_watcher_logs_in_to_airflow_only_where_that_is_switched_on(expand):
    """A session may do whatever its role may: of each environment its own watcher has one, and nobody else any."""

    def may_log_in(**parameters):
        template = expand("analytics", "legacy", MwaaEnvironmentName="acme-{environment}", **parameters)
        return {
            (role, resource)
            for role in template.of_type("AWS::IAM::Role")
            for resource, actions in _allowed(template, role).items()
            if "airflow:CreateWebLoginToken" in actions
        }

    assert may_log_in() == set()
    for airflow_role in ("Viewer", "User"):
        arn = f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/acme-{{}}/{airflow_role}"
        assert may_log_in(WebLoginRole=airflow_role) == {
            (f"RunWatcherRole{environment}", arn.format(environment))
            for environment in ("analytics", "legacy")
        }


def test_only_a_watcher_has_the_web_login_role(expand):
    """What it may not do, it does not try."""
    for role in ("", "User"):
        functions = expand("analytics", WebLoginRole=role).of_type("AWS::Lambda::Function")
        shown = {
            name: variables["WEB_LOGIN_ROLE"]
            for name, function in functions.items()
            if "WEB_LOGIN_ROLE" in (variables := function["Environment"]["Variables"])
        }
        assert shown == {"watcheranalytics": role}


def test_no_role_of_airflows_with_more_than_a_user_can_be_logged_in(source):
    """Op and Admin see connections and variables; neither is needed."""
    assert source["Parameters"]["WebLoginRole"]["AllowedValues"] == ["", "Viewer", "User"]


def test_no_action_is_a_pattern_and_everything_is_only_for_what_knows_no_resources(deployed):
    """`*` hides what is meant; where AWS leaves no choice, the action is on the list above."""
    for role in deployed.of_type("AWS::IAM::Role"):
        for resource, actions in _allowed(deployed, role).items():
            assert [action for action in actions if "*" in action] == []
            if resource == "*":
                assert actions <= WITHOUT_RESOURCES
            elif "*" in resource:
                assert resource.startswith("<ClaimCheckBucket.Arn>/") or resource.endswith(
                    (":mwaa-gateway-trigger-*", ":mwaa-gateway-watch-*")
                )


def test_each_function_has_a_role_of_its_own_without_ready_made_policies(deployed):
    """SAM would attach AWS's managed policies to a role it makes itself; Lambda alone may assume ours."""
    roles = deployed.of_type("AWS::IAM::Role")
    used = [
        function["Role"].strip("<>").removesuffix(".Arn")
        for function in deployed.of_type("AWS::Lambda::Function").values()
    ]
    assert sorted(used) == sorted(roles)
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_what_a_writer_of_rules_may_do(expand):
    """The rules, and of the ledger and the queues what enabling a rule needs: reading what is held, and sending it."""
    assert _allowed_by(expand("analytics"), "RulesWriterPolicy") == {
        "ReadAndWriteRules": (
            {
                "dynamodb:BatchGetItem",
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            },
            {"<RulesTable.Arn>"},
            None,
        ),
        "ReadRequestsShadowsAndDagCatalogs": (
            {"dynamodb:GetItem", "dynamodb:Query"},
            {"<LedgerTable.Arn>"},
            None,
        ),
        "ListHeldRequests": ({"dynamodb:Query"}, {"<LedgerTable.Arn>/index/stopped"}, None),
        "ReleaseHeldRequests": ({"sqs:SendMessage"}, {TRIGGER_QUEUES}, None),
        "ReadWhatIsImported": (
            {"events:ListRules", "events:ListTargetsByRule", "s3:GetBucketNotification"},
            {"*"},
            None,
        ),
        "ReadStackOutputs": ({"cloudformation:DescribeStacks"}, {STACK_BY_NAME}, None),
    }


READ_BATCHES = {
    "ListOpenBatches": ({"dynamodb:Query"}, {"<BatchesTable.Arn>/index/due"}, None),
    "ReadBatches": (
        {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"},
        {"<BatchesTable.Arn>"},
        None,
    ),
}


def test_who_only_looks_writes_nothing(expand):
    """Reading, and of SQS what shows a message: receiving it and returning it. No key to encrypt with either."""
    through = {
        "StringEquals": {
            "kms:ViaService": ["dynamodb.eu-central-1.amazonaws.com", "sqs.eu-central-1.amazonaws.com"]
        }
    }
    assert _allowed_by(expand("analytics", KmsKeyArn=EVERYTHING["KmsKeyArn"]), "ReadOnlyPolicy") == {
        "ReadRules": (
            {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"},
            {"<RulesTable.Arn>"},
            None,
        ),
        "ReadRequests": (
            {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"},
            {"<LedgerTable.Arn>"},
            None,
        ),
        "ListRequests": ({"dynamodb:Query", "dynamodb:Scan"}, {"<LedgerTable.Arn>/index/*"}, None),
        **READ_BATCHES,
        # The console counts what each index holds with one call.
        "ListOpenBatches": (
            {"dynamodb:Query", "dynamodb:Scan"},
            {"<BatchesTable.Arn>/index/due"},
            None,
        ),
        "LookIntoDeadLetterQueues": (
            {"sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"},
            {INGRESS_DLQS, TRIGGER_DLQS},
            None,
        ),
        "CountWhatWaits": (
            {"sqs:GetQueueAttributes"},
            {"<IngressRetryQueue.Arn>", "<CollectQueue.Arn>", INGRESS_DLQS, TRIGGER_QUEUES},
            None,
        ),
        "FindRetainedQueues": ({"sqs:ListQueues"}, {"*"}, None),
        "SearchLogs": (
            {"logs:StartQuery"},
            {f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:/aws/lambda/mwaa-gateway-*"},
            None,
        ),
        "ReadWhatWasFound": (
            {"logs:GetQueryResults", "logs:StopQuery", "cloudwatch:GetMetricData"},
            {"*"},
            None,
        ),
        "SeeEnvironments": (
            {"airflow:GetEnvironment"},
            {f"arn:aws:airflow:eu-central-1:{ACCOUNT}:environment/*"},
            None,
        ),
        # Airflow's role Viewer changes nothing
        "AskHowRunsEnded": (
            {"airflow:InvokeRestApi"},
            {f"arn:aws:airflow:eu-central-1:{ACCOUNT}:role/*/Viewer"},
            None,
        ),
        "ReadStackOutputs": ({"cloudformation:DescribeStacks"}, {STACK_BY_NAME}, None),
        "ReadWithKeyOfTablesAndQueues": ({"kms:Decrypt"}, {EVERYTHING["KmsKeyArn"]}, through),
    }


def test_what_an_operator_may_do(expand):
    """What the commands call: read requests, send them again, purge them, pause; never change a request's content."""
    assert _allowed_by(expand("analytics"), "OperatorPolicy") == {
        "ListStoppedRequests": ({"dynamodb:Query"}, LEDGER_LISTS, None),
        "ReadRequests": (
            {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"},
            {"<LedgerTable.Arn>"},
            None,
        ),
        "PutAwayWhatHasStopped": (
            {"dynamodb:UpdateItem"},
            {"<LedgerTable.Arn>"},
            {
                "ForAllValues:StringEquals": {
                    "dynamodb:Attributes": [
                        "event",
                        "request",
                        "state",
                        "outcome",
                        "reason",
                        "reason_text",
                        "redrives",
                        "expires_at",
                        "stopped_shard",
                        "stopped_at",
                    ]
                },
                "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
            },
        ),
        "ClaimObjects": (
            {"dynamodb:UpdateItem"},
            {"<LedgerTable.Arn>"},
            {
                "ForAllValues:StringEquals": {
                    "dynamodb:Attributes": ["event", "request", CLAIMS, "expires_at"]
                },
                "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
            },
        ),
        "PauseAndResume": (
            {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"},
            {"<RulesTable.Arn>"},
            {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PAUSE_PARTITION]}},
        ),
        "RecordOperations": (
            {"dynamodb:PutItem"},
            {"<RulesTable.Arn>"},
            {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["operation"]}},
        ),
        "ReadRules": ({"dynamodb:GetItem", "dynamodb:Query"}, {"<RulesTable.Arn>"}, None),
        "LookIntoDeadLetterQueues": (
            {"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"},
            {INGRESS_DLQS, TRIGGER_DLQS},
            None,
        ),
        "CountWhatWaits": (
            {"sqs:GetQueueAttributes"},
            {"<IngressRetryQueue.Arn>", "<CollectQueue.Arn>", INGRESS_DLQS, TRIGGER_QUEUES},
            None,
        ),
        "FindRetainedQueues": ({"sqs:ListQueues"}, {"*"}, None),
        "SendAgain": ({"sqs:SendMessage"}, {"<IngressRetryQueue.Arn>", TRIGGER_QUEUES}, None),
        **READ_BATCHES,
        "ReleaseBatches": (
            {"dynamodb:PutItem", "dynamodb:UpdateItem"},
            {"<BatchesTable.Arn>"},
            {
                "ForAllValues:StringLike": {
                    "dynamodb:LeadingKeys": ["batch#*", "head#*", "object#*", "objects"]
                }
            },
        ),
        "PublishAboutBatches": ({"events:PutEvents"}, {"<EventBus.Arn>"}, None),
        "PutLargeConfs": ({"s3:PutObject"}, {"<ClaimCheckBucket.Arn>/*"}, None),
        "AskTheDoctor": ({"lambda:InvokeFunction"}, {"<DoctorFunction.Arn>"}, None),
        "SeeEnvironments": (
            {"airflow:GetEnvironment"},
            {f"arn:aws:airflow:eu-central-1:{ACCOUNT}:environment/*"},
            None,
        ),
        "SeeDispatchers": (
            {"lambda:GetFunctionConfiguration"},
            {f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:mwaa-gateway-dispatcher-*"},
            None,
        ),
        "SeeWhatDispatchersMay": (
            {"iam:SimulatePrincipalPolicy"},
            {f"arn:aws:iam::{ACCOUNT}:role/*mwaa-gateway-Dispatcher*"},
            None,
        ),
        "ReadStackOutputs": ({"cloudformation:DescribeStacks"}, {STACK_BY_NAME}, None),
    }


@pytest.mark.parametrize(
    ("partition", "decision"),
    [("batch#1", "Allow"), ("head#sales.nightly#1", "Allow"), ("member#sales.nightly#1", "ImplicitDeny")],
)
def test_an_operator_decides_about_batches_and_not_about_their_members(expand, partition, decision):
    """The pointers of members alone say which event is in which batch."""
    policies = _parsed(expand("analytics"), "OperatorPolicy")
    for action in ("dynamodb:PutItem", "dynamodb:UpdateItem"):
        context = {"dynamodb:LeadingKeys": [partition]}
        assert _decision(policies, action, "<BatchesTable.Arn>", context) == decision


@pytest.mark.parametrize(
    ("boundary", "path"), [("", "/"), (EVERYTHING["PermissionsBoundary"], "/teams/data/")]
)
def test_roles_are_bounded_and_lie_where_an_account_asks_for_it(expand, boundary, path):
    """Many accounts let a deployer make such roles only. A policy has a path, and no boundary."""
    template = expand("analytics", "legacy", PermissionsBoundary=boundary, RolePath=path)
    roles = template.of_type("AWS::IAM::Role")
    assert len(roles) >= 9
    for role in roles.values():
        assert role.get("PermissionsBoundary", "") == boundary
        assert role.get("Path", "/") == path
    policies = template.of_type("AWS::IAM::ManagedPolicy").values()
    assert {policy.get("Path", "/") for policy in policies} == {path}
    # A path that is not changed is not written: CloudFormation would replace what an older version made without one.
    assert ("Path" in str(template.resources["OperatorPolicy"])) == (path != "/")


def test_services_may_call_functions_for_one_source_of_this_account(expand):
    """The confused deputy: each permission names one source. The account stands beside a bucket's ARN, which has none."""
    permissions = expand("analytics", LandingBucketName="acme-landing").of_type("AWS::Lambda::Permission")
    assert {
        name: (
            permission["Principal"],
            permission["FunctionName"],
            permission["SourceArn"],
            permission.get("SourceAccount"),
        )
        for name, permission in permissions.items()
    } == {
        "LandingBucketPermission": (
            "s3.amazonaws.com",
            "<S3EventsFunction>",
            "arn:aws:s3:::acme-landing",
            ACCOUNT,
        ),
        "TopicPermission": ("sns.amazonaws.com", "<SnsEventsFunction>", "<Topic>", None),
        "EventBusPermission": (
            "events.amazonaws.com",
            "<EventBridgeEventsFunction>",
            "<EventBusRule.Arn>",
            None,
        ),
        "DefaultBusPermission": (
            "events.amazonaws.com",
            "<EventBridgeEventsFunction>",
            "<DefaultBusRule.Arn>",
            None,
        ),
        "BatchTimersPermission": (
            "events.amazonaws.com",
            "<BatchTimersFunction>",
            "<BatchTimersRule.Arn>",
            None,
        ),
    }
    assert {permission["Action"] for permission in permissions.values()} == {"lambda:InvokeFunction"}


def _allowed(template, role):
    """Resource -> actions of a role's inline policies, all of which allow without a condition, but for those named here."""
    allowed = {}
    for policy in template.of_type("AWS::IAM::Role")[role]["Policies"]:
        for actions, resources, statement in statements(policy["PolicyDocument"]):
            assert {"NotAction", "NotResource"}.isdisjoint(statement)
            if statement["Effect"] == "Deny":
                assert statement["Sid"] == "NotToTriggerDlqs"
                continue
            conditions = {
                # Ingress writes to the ledger only what rules in SHADOW would have run; a request's partition has no "#".
                "RecordShadows": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["shadow#*"]}},
                # A dispatcher sees who stopped which rule or environment, and no rule.
                "ReadPauses": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PAUSE_PARTITION]}},
            }
            # What these two allow is evaluated above.
            if statement["Sid"] not in {"UseKeyThroughServices", "ReadOwnSettings"}:
                assert statement.get("Condition") == conditions.get(statement["Sid"])
            for resource in resources:
                allowed.setdefault(resource, set()).update(actions)
    return allowed


def _allowed_by(template, managed_policy):
    """Sid -> actions, resources and condition of a managed policy, each statement of which allows."""
    document = template.of_type("AWS::IAM::ManagedPolicy")[managed_policy]["PolicyDocument"]
    found = list(statements(document))
    assert {statement["Effect"] for _, _, statement in found} == {"Allow"}
    return {
        statement["Sid"]: (set(actions), set(resources), statement.get("Condition"))
        for actions, resources, statement in found
    }


def _parsed(template, holder):
    """The policies of a role, or a managed policy, as MiniStack's evaluator of IAM takes them."""
    managed = template.of_type("AWS::IAM::ManagedPolicy")
    documents = (
        [managed[holder]["PolicyDocument"]]
        if holder in managed
        else [each["PolicyDocument"] for each in template.of_type("AWS::IAM::Role")[holder]["Policies"]]
    )
    return [iam_evaluator.parse_policy_document(document) for document in documents]


def _decision(policies, action, resource, context=None):
    """Allow, Deny or ImplicitDeny."""
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{ACCOUNT}:role/any",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region="eu-central-1",
        service_context={key.lower(): value for key, value in (context or {}).items()},
        principal_keys={},
    )
    return iam_evaluator.evaluate(request, policies).decision
