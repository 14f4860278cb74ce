"""Settings: read from the environment, with errors that name the variable; documented in docs/settings.md."""

import pytest

from mwaa_gateway.settings import InvalidSetting
from mwaa_gateway.settings.airflow import DispatcherSettings
from mwaa_gateway.settings.ingress import IngressSettings, QueuedEventsSettings

INGRESS = {
    "RULES_TABLE": "rules",
    "TRIGGER_QUEUE_URL": "https://sqs/1/gateway-trigger-{environment}",
    "INGRESS_DLQ_URL": "https://sqs/1/dlq",
    "LEDGER_TABLE": "ledger",
    "CLAIM_CHECK_BUCKET": "large-confs",
    "ENVIRONMENTS": "analytics, marketing",
}


def test_settings_are_read_by_their_names() -> None:
    """Lists are comma-separated; what is optional has its default."""
    settings = IngressSettings.from_environ(INGRESS | {"UNRELATED": "x", "RULES_REFRESH_SECONDS": "2.5"})
    assert (
        IngressSettings(
            rules_table="rules",
            trigger_queue_url="https://sqs/1/gateway-trigger-{environment}",
            ingress_dlq_url="https://sqs/1/dlq",
            ledger_table="ledger",
            claim_check_bucket="large-confs",
            environments=frozenset({"analytics", "marketing"}),
            rules_refresh_seconds=2.5,
            unwrap_topic_arns=frozenset(),
        )
        == settings
    )


@pytest.mark.parametrize("name", INGRESS)
def test_a_missing_setting_is_named(name: str) -> None:
    """With what it is for."""
    with pytest.raises(InvalidSetting, match=f"{name} is not set: "):
        IngressSettings.from_environ({key: value for key, value in INGRESS.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RULES_REFRESH_SECONDS", "soon"),
        ("TRIGGER_QUEUE_URL", "https://sqs/1/gateway-trigger"),
        ("LOG_UNMATCHED", "some"),
    ],
)
def test_a_setting_of_the_wrong_form_is_named(name: str, value: str) -> None:
    """A queue URL without the environment in it would send everything to one queue."""
    with pytest.raises(InvalidSetting, match=f"{name} is invalid"):
        IngressSettings.from_environ(INGRESS | {name: value})


def test_an_empty_list_is_empty() -> None:
    """CloudFormation hands an unset list over as the empty text."""
    assert frozenset() == IngressSettings.from_environ(INGRESS | {"UNWRAP_TOPIC_ARNS": ""}).unwrap_topic_arns


def test_queued_events_has_to_know_its_retry_queue() -> None:
    """Without it nothing that Lambda gave up would be believed; the user's own queues are optional."""
    with pytest.raises(InvalidSetting, match="INGRESS_RETRY_QUEUE_ARN is not set: "):
        QueuedEventsSettings.from_environ(INGRESS)
    settings = QueuedEventsSettings.from_environ(INGRESS | {"INGRESS_RETRY_QUEUE_ARN": "arn:retry"})
    assert ("arn:retry", frozenset()) == (settings.ingress_retry_queue_arn, settings.event_queue_arns)


def test_the_dispatchers_defaults() -> None:
    """Five names are enough."""
    settings = DispatcherSettings.from_environ(
        {
            "ENVIRONMENT": "analytics",
            "MWAA_ENVIRONMENT_NAME": "acme-analytics",
            "TRANSPORTS": "cli",
            "RULES_TABLE": "r",
            "LEDGER_TABLE": "l",
            "TRIGGER_QUEUE_URL": "q",
            "TRIGGER_DLQ_URL": "d",
        }
    )
    assert (86_400, 900, 5.0, 30.0, "", "") == (
        settings.maximum_event_age_seconds,
        settings.dag_missing_grace_seconds,
        settings.cli_connect_timeout_seconds,
        settings.cli_read_timeout_seconds,
        settings.web_server_host,
        settings.web_server_ca_bundle,
    )
