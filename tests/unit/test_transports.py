"""The parameter Transports: what can be read, and what each mistake is answered with."""

import pytest

from mwaa_gateway.settings import InvalidSetting, RunWatcherSettings
from mwaa_gateway.transports import InvalidTransports, Transports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rest", {"analytics": "rest", "legacy": "rest"}),
        (" cli ", {"analytics": "cli", "legacy": "cli"}),
        ("analytics=rest,legacy=cli", {"analytics": "rest", "legacy": "cli"}),
        (" legacy = rest , analytics=cli ", {"analytics": "cli", "legacy": "rest"}),
    ],
)
def test_each_environment_has_the_transport_that_is_named_for_it(text, expected):
    """One word for all of them, or one for each by name."""
    transports = Transports.parse(text)
    assert {name: transports.of(name) for name in expected} == expected
    assert transports.unknown(expected) == []
    assert transports.over_rest([*expected, "other"]) - {"other"} == {
        name for name, each in expected.items() if each == "rest"
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is not name=transport"),
        ("web", "'web' is not name=transport"),
        ("rest,legacy=cli", "'rest' is not name=transport"),
        ("analytics=rest,", "'' is not name=transport"),
        ("my-env=rest", "'my-env=rest' is not name=transport"),
        ("analytics=web", "environment 'analytics' has no transport 'web'"),
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
    with pytest.raises(InvalidSetting, match=r"variable TRANSPORTS is invalid: .* no transport 'web'"):
        RunWatcherSettings.from_environ({**environ, "ENVIRONMENT": "legacy", "TRANSPORTS": "legacy=web"})
