"""The parameter Transports: what can be read, and what each mistake is answered with."""

import pytest

from mwaa_gateway.settings import InvalidSetting
from mwaa_gateway.settings.airflow import RunWatcherSettings
from mwaa_gateway.transports import InvalidTransports, Transports, parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rest", {"analytics": "rest", "legacy": "rest"}),
        (" cli ", {"analytics": "cli", "legacy": "cli"}),
        ("analytics=rest,legacy=cli", {"analytics": "rest", "legacy": "cli"}),
        (" legacy = rest , analytics=cli ", {"analytics": "cli", "legacy": "rest"}),
        ("web/rest", {"analytics": "web/rest", "legacy": "web/rest"}),
        ("analytics=web,legacy=web/cli", {"analytics": "web", "legacy": "web/cli"}),
    ],
)
def test_each_environment_has_the_transport_that_is_named_for_it(text, expected):
    """One word for all of them, or one for each by name."""
    transports = Transports.parse(text)
    assert {name: transports.of(name) for name in expected} == expected
    assert transports.unknown(expected) == []
    assert transports.by_name(expected) == {name: parts(each) for name, each in expected.items()}
    assert ("other" in transports.by_name(["other"])) == ("=" not in text)


def test_a_transport_has_a_fallback_or_none():
    """The transport in use comes first."""
    assert parts("rest") == ("rest",)
    assert parts("web/cli") == ("web", "cli")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not name=transport"),
        ("web/web", "'web/web' is not name=transport"),
        ("rest/web", "'rest/web' is not name=transport"),
        ("web/", "'web/' is not name=transport"),
        ("rest,legacy=cli", "'rest' is not name=transport"),
        ("analytics=rest,", "'' is not name=transport"),
        ("my-env=rest", "'my-env=rest' is not name=transport"),
        ("analytics=mail", "environment 'analytics' has no transport 'mail'"),
        ("analytics=cli/web", "environment 'analytics' has no transport 'cli/web'"),
        ("analytics=web|rest", "environment 'analytics' has no transport 'web|rest'"),
        ("analytics=rest=cli", "environment 'analytics' has no transport 'rest=cli'"),
        ("analytics=rest,analytics=rest", "environment 'analytics' is named twice"),
    ],
)
def test_a_mistake_is_named(text, said):
    """With the entry it is in."""
    with pytest.raises(InvalidTransports) as refused:
        Transports.parse(text)
    assert said in str(refused.value)


def test_a_misspelt_environment_is_found_from_both_sides():
    """Its own functions refuse to start, with the remedy; the others are not concerned."""
    transports = Transports.parse("analytics=rest,legcay=cli")
    assert transports.of("analytics") == "rest"
    assert transports.unknown(["analytics", "legacy"]) == ["legcay"]
    environ = {
        "MWAA_ENVIRONMENT_NAME": "acme",
        "LEDGER_TABLE": "l",
        "WATCH_QUEUE_URL": "w",
        "TASK_TOKEN_KEY": "k",
        "TRANSPORTS": "analytics=rest,legcay=cli",
    }
    assert RunWatcherSettings.from_environ({**environ, "ENVIRONMENT": "analytics"}).transport == "rest"
    with pytest.raises(
        InvalidSetting,
        match=r"variable TRANSPORTS .* 'legacy' .* names only analytics, legcay: .* add legacy=rest or legacy=cli",
    ):
        RunWatcherSettings.from_environ({**environ, "ENVIRONMENT": "legacy"})
    with pytest.raises(InvalidSetting, match=r"variable TRANSPORTS is invalid: .* no transport 'soap'"):
        RunWatcherSettings.from_environ({**environ, "ENVIRONMENT": "legacy", "TRANSPORTS": "legacy=soap"})
