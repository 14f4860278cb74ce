"""Allow-lists of namespaces: what the rules of a team may name."""

import json
from typing import Any

import pytest

from mwaa_gateway.errors import InvalidNamespace
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.allow_lists import Namespace, Namespaces

FINANCE = {
    "namespace": "finance",
    "sources": ["acme.ledger", "aws.s3#acme-finance-*"],
    "environments": ["analytics"],
    "dag_ids": ["finance_*", "close"],
}


def rule(rule_id: str = "finance.orders", pattern: Any = None, **target: Any) -> Rule:
    written = {
        "id": rule_id,
        "pattern": pattern or {"source": ["acme.ledger"]},
        "target": {"environment": "analytics", "dag_id": "finance_orders", **target},
    }
    return parse_rule(written, environments=None)


def problems(found: Rule, **changes: Any) -> list[str]:
    return [str(problem) for problem in Namespace.parse(FINANCE | changes).permits(found)]


def uploads(*buckets: Any) -> dict[str, Any]:
    return {"source": ["aws.s3"], "detail": {"bucket": {"name": list(buckets)}}}


@pytest.mark.parametrize(
    "permitted",
    [
        rule(),
        rule(pattern={"source": ["acme.ledger"], "detail-type": ["Closed"]}),
        rule(pattern=uploads("acme-finance-in", "acme-finance-out")),
        rule(dag_id="close"),
        rule(dag_id="finance_<$.source>", allowed_dag_ids=["finance_a", "finance_x*", "finance_*"]),
    ],
)
def test_permitted(permitted: Rule):
    """Everything that a rule names lies within the lists."""
    assert [] == problems(permitted)


@pytest.mark.parametrize(
    ("refused", "field", "words"),
    [
        (rule(pattern={"source": ["acme.hr"]}), "pattern", "events of source 'acme.hr'"),
        (rule(pattern={"source": ["acme.ledger", "acme.hr"]}), "pattern", "events of source 'acme.hr'"),
        (
            rule(pattern={"source": [{"prefix": "acme.ledger"}]}),
            "pattern",
            "it does not name a source exactly",
        ),
        (rule(pattern={"detail-type": ["x"]}), "pattern", "it does not name a source exactly"),
        (rule(pattern={"$or": [{"source": ["acme.ledger"]}, {"region": ["x"]}]}), "pattern", "any source"),
        (rule(pattern=uploads("acme-finance-in", "acme-hr")), "pattern", "'aws.s3#acme-hr'"),
        (rule(pattern=uploads({"prefix": "acme-finance-"})), "pattern", "source 'aws.s3'"),
        (rule(pattern={"source": ["aws.s3"]}), "pattern", "source 'aws.s3'"),
        (rule(environment="legacy"), "targets[0].environment", "'legacy', and namespace 'finance' allows"),
        (rule(dag_id="hr_orders"), "targets[0].dag_id", "'hr_orders'"),
        (
            rule(dag_id="<$.source>", allowed_dag_ids=["finance_a", "*_a"]),
            "targets[0].allowed_dag_ids[1]",
            "'*_a'",
        ),
    ],
)
def test_refused(refused: Rule, field: str, words: str):
    """One problem for what lies outside, with the field and what is allowed."""
    (found,) = problems(refused)
    assert found.startswith(f"{field}: ")
    assert words in found


def test_an_empty_list_allows_nothing():
    """And says so."""
    found = problems(rule(), sources=[], environments=[], dag_ids=[])
    assert ["pattern", "targets[0].environment", "targets[0].dag_id"] == [p.partition(":")[0] for p in found]
    assert all(p.endswith("allows none") for p in found)


def test_a_star_allows_everything():
    """Also rules that name no source."""
    everything = {"sources": ["*"], "environments": ["*"], "dag_ids": ["*"]}
    found = rule(pattern={"region": ["x"]}, environment="legacy", dag_id="<$.a>", allowed_dag_ids=["a*"])
    assert [] == problems(found, **everything)


@pytest.mark.parametrize(
    ("rule_id", "allowed"),
    [("finance.orders", False), ("finance.a.b", False), ("hr.orders", True), ("orders", True)],
)
def test_a_rule_has_the_list_of_its_namespace(rule_id: str, allowed: bool):  # noqa: FBT001
    """What stands before the first dot; without a list, everything."""
    found = Namespaces.of([Namespace.parse(FINANCE)]).permits(rule(rule_id, dag_id="other"))
    assert allowed == (found == [])


@pytest.mark.parametrize(("rule_id", "allowed"), [("finance.a", True), ("hr.a", False), ("orders", False)])
def test_the_star_is_for_those_without_a_list_of_their_own(rule_id: str, allowed: bool):  # noqa: FBT001
    """So a table can be shut but for its teams."""
    nobody = {"namespace": "*", "sources": [], "environments": [], "dag_ids": []}
    found = Namespaces.of(map(Namespace.parse, (FINANCE, nobody))).permits(rule(rule_id))
    assert allowed == (found == [])


def test_a_list_that_cannot_be_read_allows_nothing():
    """A mistake in an allow-list opens nothing; the other namespaces have theirs."""
    found = Namespaces.from_items({"finance": "{", "hr": json.dumps(FINANCE | {"namespace": "hr"})})
    assert ["id: the allow-list of namespace 'finance' is unreadable: write it again"] == [
        str(problem) for problem in found.permits(rule())
    ]
    assert [] == found.permits(rule("hr.orders"))


def test_round_trip():
    """What is written is what was read."""
    namespace = Namespace.parse(FINANCE)
    assert FINANCE == namespace.document()
    assert namespace == Namespace.from_json(json.dumps(namespace.document()))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (7, "an allow-list is an object"),
        (
            FINANCE | {"namespace": "Fin.ance"},
            "namespace: is 'Fin.ance'; write the part of rule ids before the dot",
        ),
        (FINANCE | {"source": []}, "source: is an unknown field"),
        ({"namespace": "a", "sources": [], "environments": []}, "dag_ids: is missing; write a list of text"),
        (FINANCE | {"sources": "aws.s3"}, "sources: is 'aws.s3'; write a list"),
        (FINANCE | {"sources": [""]}, "sources: is ['']; write a list"),
    ],
)
def test_an_allow_list_that_cannot_be_used(document: Any, words: str):
    """Every problem, with the field and what to write."""
    with pytest.raises(InvalidNamespace) as refusal:
        Namespace.parse(document)
    assert words in str(refusal.value)
