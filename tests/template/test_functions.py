"""The functions: what each is given, and that its own settings module can read it."""

import re

import pytest

from mwaa_gateway.aws.mwaa.web import START_SECONDS
from mwaa_gateway.aws.mwaa.web_session import ANSWER_SECONDS
from mwaa_gateway.dispatch.dispatcher import LONGEST_STAY_SECONDS
from mwaa_gateway.settings.airflow import DispatcherSettings, DoctorSettings, RunWatcherSettings
from mwaa_gateway.settings.feeds import CollectorSettings, ReleaserSettings, TimersSettings
from mwaa_gateway.settings.ingress import IngressSettings, QueuedEventsSettings, TaskSettings
from mwaa_gateway.settings.step_functions import EndedExecutionsSettings
from mwaa_gateway.transports import InvalidTransports, Transports
from template.expansion import EVERYTHING, ROOT

INVOKED_BY_A_SOURCE = ("S3EventsFunction", "SnsEventsFunction", "EventBridgeEventsFunction")
INGRESS = (*INVOKED_BY_A_SOURCE, "QueuedEventsFunction")
FEEDS = ("BatchCollectorFunction", "BatchReleaserFunction", "BatchTimersFunction")
POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL"}
OF_INGRESS = {
    "RULES_TABLE",
    "LEDGER_TABLE",
    "CLAIM_CHECK_BUCKET",
    "INGRESS_DLQ_URL",
    "COLLECT_QUEUE_URL",
    "TRIGGER_QUEUE_URL",
    "ENVIRONMENTS",
    "RULES_REFRESH_SECONDS",
    "LOG_UNMATCHED",
}
OF_FEEDS = {"BATCHES_TABLE", "LOOK_QUEUE_URL"}
OF_TIMERS = OF_FEEDS | {"RULES_TABLE"}
OF_COLLECTOR = OF_FEEDS | {"COLLECT_QUEUE_URL", "CLAIM_CHECK_BUCKET", "INGRESS_DLQ_URL"}
OF_RELEASER = OF_FEEDS | {"COLLECT_QUEUE_URL", "EVENT_BUS", "TRIGGER_QUEUE_URL", "CLAIM_CHECK_BUCKET"}
OF_QUEUED_EVENTS = OF_INGRESS | {"UNWRAP_TOPIC_ARNS", "INGRESS_RETRY_QUEUE_ARN", "EVENT_QUEUE_ARNS"}
OF_DISPATCHER = {
    "ENVIRONMENT",
    "MWAA_ENVIRONMENT_NAME",
    "LEDGER_TABLE",
    "RULES_TABLE",
    "BRAKE_REFRESH_SECONDS",
    "TRIGGER_QUEUE_URL",
    "TRIGGER_DLQ_URL",
    "MAXIMUM_EVENT_AGE_SECONDS",
    "DAG_CATALOG_SECONDS",
    "WEB_CONCURRENCY",
    "DAG_MISSING_GRACE_SECONDS",
    "CLI_CONNECT_TIMEOUT_SECONDS",
    "CLI_READ_TIMEOUT_SECONDS",
    "WEB_SERVER_HOST",
    "WEB_SERVER_CA_BUNDLE",
    "TRANSPORTS",
    "SLOTS_PER_ENVIRONMENT",
    "REST_SHARE",
}

OF_DOCTOR = {
    "ENVIRONMENTS",
    "MWAA_ENVIRONMENT_NAME",
    "STEP_FUNCTIONS_TASKS",
    "CLI_CONNECT_TIMEOUT_SECONDS",
    "CLI_READ_TIMEOUT_SECONDS",
    "WEB_SERVER_HOST",
    "WEB_SERVER_CA_BUNDLE",
    "TRANSPORTS",
}
OF_TASK = OF_INGRESS - {"LOG_UNMATCHED"} | {"WATCH_QUEUE_URL", "TASK_TOKEN_KEY", "TASK_DAGS"}
OF_ENDED_EXECUTIONS = {"ENVIRONMENTS", "LEDGER_TABLE", "WATCH_QUEUE_URL"}
OF_WATCHER = {
    "ENVIRONMENT",
    "MWAA_ENVIRONMENT_NAME",
    "LEDGER_TABLE",
    "WATCH_QUEUE_URL",
    "TASK_TOKEN_KEY",
    "WEB_LOGIN_ROLE",
    "CLI_CONNECT_TIMEOUT_SECONDS",
    "CLI_READ_TIMEOUT_SECONDS",
    "WEB_SERVER_HOST",
    "WEB_SERVER_CA_BUNDLE",
    "TRANSPORTS",
    "SLOTS_PER_ENVIRONMENT",
    "REST_SHARE",
}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("S3EventsFunction", OF_INGRESS),
        ("SnsEventsFunction", OF_INGRESS | {"UNWRAP_TOPIC_ARNS"}),
        ("EventBridgeEventsFunction", OF_INGRESS),
        ("QueuedEventsFunction", OF_QUEUED_EVENTS),
        ("StepFunctionsTaskFunction", OF_TASK),
        ("EndedExecutionsFunction", OF_ENDED_EXECUTIONS),
        ("BatchCollectorFunction", OF_COLLECTOR),
        ("BatchReleaserFunction", OF_RELEASER),
        ("BatchTimersFunction", OF_TIMERS),
        ("watcheranalytics", OF_WATCHER),
        ("DoctorFunction", OF_DOCTOR),
        ("dispatcheranalytics", OF_DISPATCHER),
        ("dispatcherlegacy", OF_DISPATCHER),
    ],
)
def test_settings_are_these_and_no_others(deployed, function, expected):
    """A variable nobody reads is a mistake somebody will believe in."""
    assert set(_variables(deployed, function)) == expected | POWERTOOLS


def test_dispatchers_can_read_every_setting_they_have(deployed):
    """Names are the settings module's own, and every value parses; none is left to its default."""
    names = set(DispatcherSettings.variables())
    assert names == OF_DISPATCHER
    for environment in ("analytics", "legacy"):
        settings = DispatcherSettings.from_environ(_variables(deployed, f"dispatcher{environment}"))
        assert settings.environment == environment
        assert settings.trigger_queue_url == f"<TriggerQueue{environment}>"
        assert settings.trigger_dlq_url == f"<TriggerDlq{environment}>"


def test_the_doctor_reaches_airflow_as_the_dispatchers_do(deployed):
    """Every setting parses, and what it makes of them for an environment is what that environment's dispatcher has."""
    assert set(DoctorSettings.variables()) == OF_DOCTOR
    doctor = DoctorSettings.from_environ(_variables(deployed, "DoctorFunction"))
    for environment in ("analytics", "legacy"):
        dispatcher = DispatcherSettings.from_environ(_variables(deployed, f"dispatcher{environment}"))
        seen = doctor.of(environment)
        for setting in sorted(OF_DOCTOR & OF_DISPATCHER | {"ENVIRONMENT", "TRANSPORT"}):
            assert getattr(seen, setting.lower()) == getattr(dispatcher, setting.lower()), setting


@pytest.mark.parametrize("tasks", ["true", "false"])
def test_the_doctor_looks_for_the_endpoints_that_the_stack_uses(expand, tasks):
    """Without Step Functions tasks nothing calls KMS or Step Functions: a missing endpoint is no fault."""
    template = expand("analytics", StepFunctionsTasks=tasks)
    doctor = DoctorSettings.from_environ(_variables(template, "DoctorFunction"))
    assert doctor.step_functions_tasks == (tasks == "true")


def test_what_waits_for_runs_can_read_every_setting_it_has(deployed):
    """As for dispatchers; the queue and the key are the ones whose use the roles allow."""
    assert set(TaskSettings.variables()) == OF_TASK | {"UNWRAP_TOPIC_ARNS", "LOG_UNMATCHED"}
    assert set(RunWatcherSettings.variables()) == OF_WATCHER
    task = TaskSettings.from_environ(_variables(deployed, "StepFunctionsTaskFunction"))
    assert task.watch_queue_url.endswith("/mwaa-gateway-watch-{environment}.fifo")
    watcher = RunWatcherSettings.from_environ(_variables(deployed, "watcherlegacy"))
    assert (watcher.environment, watcher.watch_queue_url) == ("legacy", "<WatchQueuelegacy>")
    assert watcher.task_token_key == task.task_token_key


def test_feeds_can_read_every_setting_they_have(deployed):
    """Names are the settings module's own; table, bucket and queues are the ones whose use the roles allow."""
    assert {name.upper() for name in CollectorSettings.__dataclass_fields__} == OF_COLLECTOR
    assert {name.upper() for name in ReleaserSettings.__dataclass_fields__} == OF_RELEASER
    assert {name.upper() for name in TimersSettings.__dataclass_fields__} == OF_TIMERS
    collector = CollectorSettings.from_environ(_variables(deployed, "BatchCollectorFunction"))
    releaser = ReleaserSettings.from_environ(_variables(deployed, "BatchReleaserFunction"))
    timers = TimersSettings.from_environ(_variables(deployed, "BatchTimersFunction"))
    assert {each.batches_table for each in (collector, releaser, timers)} == {"<BatchesTable>"}
    assert {each.look_queue_url for each in (collector, releaser, timers)} == {"<LookQueue>"}
    assert {each.claim_check_bucket for each in (collector, releaser)} == {"<ClaimCheckBucket>"}
    assert {each.collect_queue_url for each in (collector, releaser)} == {"<CollectQueue>"}
    assert collector.ingress_dlq_url == "<IngressDlq>"
    assert releaser.event_bus == "<EventBus>"
    assert timers.rules_table == "<RulesTable>"
    assert releaser.trigger_queue_url.endswith("/mwaa-gateway-trigger-{environment}")


def test_the_collector_gets_a_burst_at_once_and_each_message_by_itself(deployed):
    """A hundred members are stored by the reads and writes of one; a failed message alone comes back."""
    mappings = {
        name: deployed.resources[name]["Properties"]
        for name in ("BatchCollectorEventSource", "BatchReleaserEventSource")
    }
    partial = {
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 5},
    }
    assert mappings == {
        "BatchCollectorEventSource": {
            "FunctionName": "<BatchCollectorFunction>",
            "EventSourceArn": "<CollectQueue.Arn>",
            "BatchSize": 100,
            "MaximumBatchingWindowInSeconds": 1,
            **partial,
        },
        "BatchReleaserEventSource": {
            "FunctionName": "<BatchReleaserFunction>",
            "EventSourceArn": "<LookQueue.Arn>",
            "BatchSize": 10,
            **partial,
        },
    }


def test_a_tick_is_not_repeated(deployed):
    """The next one comes within a minute and sees the same; ticks that pile up would only come all at once."""
    tick = deployed.of_type("AWS::Events::Rule")["BatchTimersRule"]
    assert (tick["ScheduleExpression"], tick.get("State", "ENABLED")) == ("rate(1 minute)", "ENABLED")
    assert [target["Arn"] for target in tick["Targets"]] == ["<BatchTimersFunction.Arn>"]
    configured = [
        config
        for config in deployed.of_type("AWS::Lambda::EventInvokeConfig").values()
        if config["FunctionName"] == "<BatchTimersFunction>"
    ]
    assert [(each["MaximumEventAgeInSeconds"], each["MaximumRetryAttempts"]) for each in configured] == [
        (60, 0)
    ]


def test_without_tasks_there_is_nothing_of_them(expand):
    """No key that costs a dollar a month, no watcher, and all slots are the dispatchers'."""
    template = expand("analytics", StepFunctionsTasks="false")
    assert [name for name in template.resources if "Watch" in name or "Task" in name] == []
    assert _slots(template) == 3
    assert _slots(expand("analytics")) == 2
    assert _slots(expand("analytics", SlotsPerEnvironment="4")) == 3


@pytest.mark.parametrize(("slots", "at_once"), [("2", "2"), ("3", "2"), ("4", "3")])
def test_a_dispatcher_knows_how_many_share_the_calls_with_it(expand, slots, at_once):
    """As text: Lambda takes nothing else, and only CloudFormation makes text of a number."""
    template = expand("analytics", SlotsPerEnvironment=slots)
    assert _variables(template, "dispatcheranalytics")["SLOTS_PER_ENVIRONMENT"] == at_once
    assert str(_slots(template)) == at_once


def _slots(template):
    return template.resources["DispatcherEventSourceanalytics"]["Properties"]["ScalingConfig"][
        "MaximumConcurrency"
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("rest", ["rest", "rest"]),
        ("cli", ["cli", "cli"]),
        ("analytics=cli,legacy=rest", ["cli", "rest"]),
        ("analytics=web/cli,legacy=web", ["web/cli", "web"]),
    ],
)
def test_each_environment_has_the_transport_that_was_chosen_for_it(expand, given, expected):
    """Dispatcher and watcher get the whole parameter and find themselves in it; and their share of the calls."""
    template = expand(
        "analytics", "legacy", Transports=given, SlotsPerEnvironment="4", RestShare="6", WebConcurrency="12"
    )
    for function, settings in (("dispatcher", DispatcherSettings), ("watcher", RunWatcherSettings)):
        read = [
            settings.from_environ(_variables(template, f"{function}{environment}"))
            for environment in ("analytics", "legacy")
        ]
        assert [each.transport for each in read] == expected
        at_once = 4 if settings is RunWatcherSettings else _slots(template)
        assert {(each.slots_per_environment, each.rest_share) for each in read} == {(at_once, 6.0)}
        if settings is DispatcherSettings:
            assert {each.web_concurrency for each in read} == {12}


def test_nobody_deploys_without_saying_how_airflow_is_reached(source):
    """A default would change the transport of a stack of an older version that is updated without naming it."""
    assert "Default" not in source["Parameters"]["Transports"]


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("rest", True),
        ("cli", True),
        ("analytics=rest", True),
        ("analytics=rest,legacy=cli", True),
        ("analytics=cli,Xanalytics=cli,analytics2=rest", True),
        (f"{'n' * 32}=cli", True),
        ("web", True),
        ("web/rest", True),
        ("analytics=web/cli,legacy=web", True),
        ("", False),
        ("rest/web", False),
        ("web/web", False),
        ("analytics=web/", False),
        ("analytics=web,", False),
        ("analytics=soap", False),
        ("analytics", False),
        ("analytics=", False),
        ("rest,legacy=cli", False),
        ("analytics=rest,legacy", False),
        ("analytics=rest,analytics=cli", False),
        ("a=rest,legacy=cli,a=rest", False),
        (f"{'n' * 33}=cli", False),
        ("my-env=rest", False),
        ("REST", False),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_deployed(source, text, accepted):
    """Syntax, unknown transports and duplicates: by CloudFormation. What it lets through, the functions can read."""
    assert bool(re.fullmatch(source["Parameters"]["Transports"]["AllowedPattern"], text)) == accepted
    try:
        Transports.parse(text)
    except InvalidTransports:
        assert not accepted
    else:
        assert accepted


def test_ingress_functions_can_read_every_setting_they_have(deployed):
    """As for dispatchers; only functions that get messages of topics have the list of topics to unwrap."""
    names = set(IngressSettings.variables())
    assert names == OF_INGRESS | {"UNWRAP_TOPIC_ARNS"}
    for function in INGRESS:
        settings = IngressSettings.from_environ(_variables(deployed, function))
        assert settings.environments == {"analytics", "legacy"}
        assert settings.trigger_queue_url.endswith("/mwaa-gateway-trigger-{environment}")


@pytest.mark.parametrize("function", ["SnsEventsFunction", "QueuedEventsFunction"])
def test_topics_to_unwrap_reach_whom_messages_of_topics_reach(expand, function):
    """The allow-list is a parameter; empty it allows nothing."""
    topic = EVERYTHING["UnwrapTopicArns"]
    for given, expected in (("", frozenset()), (f"{topic},{topic}-too", frozenset({topic, f"{topic}-too"}))):
        template = expand("analytics", UnwrapTopicArns=given)
        assert IngressSettings.from_environ(_variables(template, function)).unwrap_topic_arns == expected


def test_as_it_comes_the_gateway_trusts_and_makes_nothing_that_is_not_named(source):
    """No topic, queue, service, DAG or login is trusted, and no bucket made, before somebody names it."""
    closed = {
        "EventQueueArns",
        "LandingBucketName",
        "TaskDags",
        "TopicPublishers",
        "UnwrapTopicArns",
        "WebLoginRole",
        "WebServerHost",
    }
    assert {source["Parameters"][name]["Default"] for name in closed} == {""}


def test_queued_events_knows_which_queues_to_trust(expand):
    """The retry queue by reference, the user's own queues by parameter; empty there are none."""
    assert set(QueuedEventsSettings.variables()) == OF_QUEUED_EVENTS
    one, two = EVERYTHING["EventQueueArns"].split(",")
    for given, expected in (("", frozenset()), (one, {one}), (f"{one},{two}", {one, two})):
        template = expand("analytics", EventQueueArns=given)
        settings = QueuedEventsSettings.from_environ(_variables(template, "QueuedEventsFunction"))
        assert settings.ingress_retry_queue_arn == "<IngressRetryQueue.Arn>"
        assert settings.event_queue_arns == expected


def test_every_queue_that_is_believed_is_read_and_no_other(expand):
    """Partial batches, a few sandboxes; without the parameter the retry queue alone."""
    one, two = EVERYTHING["EventQueueArns"].split(",")
    for given, expected in (("", set()), (one, {one}), (f"{one},{two}", {one, two})):
        mappings = [
            mapping
            for mapping in expand("analytics", EventQueueArns=given)
            .of_type("AWS::Lambda::EventSourceMapping")
            .values()
            if mapping["FunctionName"] == "<QueuedEventsFunction>"
        ]
        assert {mapping.pop("EventSourceArn") for mapping in mappings} == expected | {
            "<IngressRetryQueue.Arn>"
        }
        assert len(mappings) == len(expected) + 1
        for mapping in mappings:
            assert mapping == {
                "FunctionName": "<QueuedEventsFunction>",
                "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": 5},
            }


@pytest.mark.parametrize(
    ("arn", "accepted"),
    [
        ("", True),
        (EVERYTHING["EventQueueArns"].split(",")[0], True),
        ("arn:aws:sqs:eu-central-1:123456789012:orders.fifo", False),
        ("arn:aws:sns:eu-central-1:123456789012:uploads", False),
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/uploads", False),
    ],
)
def test_what_is_no_queue_that_can_be_read_is_refused_before_the_deploy(source, arn, accepted):
    """Neither S3 nor EventBridge's targets want FIFO, and a partial batch of it would lose its order."""
    assert bool(re.search(source["Parameters"]["EventQueueArns"]["AllowedPattern"], arn)) == accepted


def test_metrics_are_distinguished_by_the_functions_name(deployed):
    """Alarms look for the dimension `service`; two stacks in one account must not share it."""
    for function in deployed.of_type("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == function["FunctionName"]
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == "MwaaTriggerGateway"


def test_runtime_and_code(deployed):
    """Python 3.13 on arm64, the handler where the tree has it, both layers, traced."""
    layers = sorted(f"<{name}>" for name in deployed.of_type("AWS::Lambda::LayerVersion"))
    for function in deployed.of_type("AWS::Lambda::Function").values():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["Handler"] == "app.handler"
        assert sorted(function["Layers"]) == layers
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["MemorySize"] == 512
    assert len(layers) == 2


def test_ended_executions_reaches_the_queues_of_all_watchers(deployed):
    """Every setting parses; by environment, the URL is that of the watch queue."""
    assert set(EndedExecutionsSettings.variables()) == OF_ENDED_EXECUTIONS
    settings = EndedExecutionsSettings.from_environ(_variables(deployed, "EndedExecutionsFunction"))
    assert settings.environments == {"analytics", "legacy"}
    for environment in settings.environments:
        name = deployed.resources[f"WatchQueue{environment}"]["Properties"]["QueueName"]
        url = settings.watch_queue_url.replace("{environment}", environment)
        assert url == f"https://sqs.eu-central-1.amazonaws.com/123456789012/{name}"


def test_timeouts(deployed):
    """A command may take 5 + 30 s, and the look-up after it as long again; an ingress function has nothing slow to do."""
    for name, function in deployed.of_type("AWS::Lambda::Function").items():
        if name in (*INGRESS, "StepFunctionsTaskFunction", "EndedExecutionsFunction", *FEEDS):
            # A release reads and lists up to 100,000 members.
            assert function["Timeout"] == (60 if name == "BatchReleaserFunction" else 30)
        else:
            command = sum(
                float(function["Environment"]["Variables"][f"CLI_{part}_TIMEOUT_SECONDS"])
                for part in ("CONNECT", "READ")
            )
            # The doctor also connects to AWS, and may have to ask for a second token.
            assert function["Timeout"] == (120 if name == "DoctorFunction" else 90) > 2 * command
            connect = float(function["Environment"]["Variables"]["CLI_CONNECT_TIMEOUT_SECONDS"])
            # Over a web login: the wait for the environment, a login, a start, and a lookup that is made twice.
            seconds = LONGEST_STAY_SECONDS + START_SECONDS + 3 * ANSWER_SECONDS + 4 * connect
            assert seconds < function["Timeout"]


def test_each_function_has_a_log_group_of_its_own_that_forgets(expand):
    """Logs name DAGs and runs: kept as long as the parameter says, and no function may write to another's."""
    template = expand("analytics", "legacy", LogRetentionDays="30")
    groups = template.of_type("AWS::Logs::LogGroup")
    used = {
        name: function["LoggingConfig"]["LogGroup"].strip("<>")
        for name, function in template.of_type("AWS::Lambda::Function").items()
    }
    assert sorted(used.values()) == sorted(groups)
    for name, group in used.items():
        function = template.resources[name]["Properties"]["FunctionName"]
        assert groups[group]["LogGroupName"] == f"/aws/lambda/{function}"
        assert groups[group]["RetentionInDays"] == 30


def test_each_log_group_indexes_the_fields_that_name_an_event(deployed):
    """A search by one of them reads the lines that have it, instead of every line of the day. CloudWatch allows 20."""
    wanted = [{"Fields": ["resource", "event_id", "run_id", "batch_id", "identity"]}]
    for name, group in deployed.of_type("AWS::Logs::LogGroup").items():
        assert (name, group["FieldIndexPolicies"]) == (name, wanted)
        assert "LogGroupClass" not in group  # Standard, the only class with indexes


@pytest.mark.parametrize("given", ["all", "sampled", "none"])
def test_every_function_that_matches_events_knows_which_unmatched_ones_to_log(expand, source, given):
    """Every value that CloudFormation accepts is one that the functions can read."""
    assert source["Parameters"]["LogUnmatched"]["AllowedValues"] == ["all", "sampled", "none"]
    template = expand("analytics", LogUnmatched=given)
    for function in INGRESS:
        assert IngressSettings.from_environ(_variables(template, function)).log_unmatched == given


def test_what_lambda_gives_up_is_tried_again(deployed):
    """Lambda tries an asynchronous event three times, in three minutes; then it goes to the queue that is worked off."""
    configured = {
        config["FunctionName"].strip("<>"): config
        for config in deployed.of_type("AWS::Lambda::EventInvokeConfig").values()
        if config["FunctionName"] != "<BatchTimersFunction>"  # test_a_tick_is_not_repeated
    }
    assert set(configured) == set(INVOKED_BY_A_SOURCE)
    for config in configured.values():
        assert config["DestinationConfig"]["OnFailure"]["Destination"] == "<IngressRetryQueue.Arn>"
        assert config["MaximumRetryAttempts"] == 2
        assert config["MaximumEventAgeInSeconds"] == 21600


@pytest.mark.parametrize("slots", [2, 3, 4])
@pytest.mark.parametrize(
    ("transports", "batch"), [("cli", 1), ("analytics=rest,legacy=cli", 1), ("rest", 10)]
)
def test_a_dispatcher_takes_its_share_of_slots_and_reports_each_message(expand, slots, transports, batch):
    """No more invocations than slots, and a failed message alone comes back; one command each where it may be a CLI's."""
    template = expand(
        "analytics",
        "legacy",
        SlotsPerEnvironment=str(slots),
        StepFunctionsTasks="false",
        Transports=transports,
    )
    for environment in ("analytics", "legacy"):
        mapping = template.resources[f"DispatcherEventSource{environment}"]["Properties"]
        assert mapping == {
            "FunctionName": f"<dispatcher{environment}>",
            "EventSourceArn": f"<TriggerQueue{environment}.Arn>",
            "BatchSize": batch,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": slots},
        }


def test_a_watcher_keeps_the_message_that_its_next_round_begins_with(deployed):
    """It reports that message as failed, so that it rests in the queue; Lambda would delete it with the batch."""
    for environment in ("analytics", "legacy"):
        mapping = deployed.resources[f"RunWatcherEventSource{environment}"]["Properties"]
        assert mapping == {
            "FunctionName": f"<watcher{environment}>",
            "EventSourceArn": f"<WatchQueue{environment}.Arn>",
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }


def test_the_share_of_slots_leaves_room_for_people(source):
    """The web server takes about four commands at once; an event source mapping allows no less than two."""
    slots = source["Parameters"]["SlotsPerEnvironment"]
    assert (slots["MinValue"], slots["Default"], slots["MaxValue"]) == (2, 3, 4)


def test_no_concurrency_is_reserved(expand):
    """The poller does not know about it: throttled messages burn their receives and end in the DLQ unread."""
    for function in expand("analytics").of_type("AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in function


def test_ingress_may_be_kept_from_the_accounts_concurrency(expand):
    """What a source invokes, each function by itself; a queue's poller does not know reserved concurrency."""
    functions = expand("analytics", IngressConcurrency="50").of_type("AWS::Lambda::Function")
    reserved = {
        name: function["ReservedConcurrentExecutions"]
        for name, function in functions.items()
        if "ReservedConcurrentExecutions" in function
    }
    assert reserved == dict.fromkeys(INVOKED_BY_A_SOURCE, 50)


def test_how_long_dispatchers_try_and_wait(deployed):
    """A day from the first attempt, a quarter of an hour for a DAG that is not there, and pauses seen within seconds."""
    variables = _variables(deployed, "dispatcheranalytics")
    assert {
        name: variables[name]
        for name in ("MAXIMUM_EVENT_AGE_SECONDS", "DAG_MISSING_GRACE_SECONDS", "BRAKE_REFRESH_SECONDS")
    } == {
        "MAXIMUM_EVENT_AGE_SECONDS": "86400",
        "DAG_MISSING_GRACE_SECONDS": "900",
        "BRAKE_REFRESH_SECONDS": "5",
    }


def test_without_tracing_nothing_may_be_traced(expand):
    """PassThrough is what Lambda does by itself: it makes no trace of its own."""
    template = expand("analytics", XRayTracing="false")
    for function in template.of_type("AWS::Lambda::Function").values():
        assert function["TracingConfig"] == {"Mode": "PassThrough"}
    assert "xray:" not in str(template.resources)


def test_only_functions_that_call_airflow_join_the_vpc_and_only_with_subnets(expand):
    """Ingress functions talk to AWS alone; private web servers are the dispatchers' and watchers' matter."""
    inside = expand("analytics", **EVERYTHING).of_type("AWS::Lambda::Function")
    vpc = {name: function["VpcConfig"] for name, function in inside.items() if "VpcConfig" in function}
    joined = {
        "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }
    assert vpc == {"DoctorFunction": joined, "dispatcheranalytics": joined, "watcheranalytics": joined}
    outside = expand("analytics").of_type("AWS::Lambda::Function")
    assert [name for name, function in outside.items() if "VpcConfig" in function] == []


def test_code_is_where_the_template_says(source):
    """Every folder a CodeUri or ContentUri names exists; the loop's variable stands for `dispatcher`."""
    resources = source["Resources"]
    functions = ["s3_events", "sns_events", "eventbridge_events", "queued_events"]
    named = [resources[name]["Properties"]["CodeUri"] for name in INGRESS]
    assert named == [f"functions/{name}/" for name in functions]
    _, collection, _ = resources["Fn::ForEach::EnvironmentResources"][2]["Fn::ForEach::EnvironmentFunctions"]
    assert collection == ["dispatcher"]
    feeds = [resources[name]["Properties"]["CodeUri"] for name in FEEDS]
    assert feeds == [f"functions/{name}/" for name in ("batch_collector", "batch_releaser", "batch_timers")]
    for name in [*functions, *collection, "batch_collector", "batch_releaser", "batch_timers"]:
        assert (ROOT / "functions" / name / "app.py").is_file()


@pytest.mark.parametrize("layer", ["GatewayLayer", "DependenciesLayer"])
def test_a_makefile_builds_each_layer(source, layer):
    """SAM's own method leaves the bytecode out, and makes python/ of the gateway's python/python/."""
    resource = source["Resources"][layer]
    assert resource["Metadata"] == {"BuildMethod": "makefile", "BuildArchitecture": "arm64"}
    makefile = ROOT / resource["Properties"]["ContentUri"] / "Makefile"
    assert f"\nbuild-{layer}:\n" in makefile.read_text()


def _variables(template, function):
    return template.resources[function]["Properties"]["Environment"]["Variables"]
