"""A routing rule: the events it matches, and what each of them starts.

May import `patterns`, `conf`, `airflow` and the root.
"""

from mwaa_gateway.rules.parsing import RULE_FORMAT, is_own_event, parse_rule
from mwaa_gateway.rules.rule import DedupeKey, Rule, State, Target

__all__ = ["RULE_FORMAT", "DedupeKey", "Rule", "State", "Target", "is_own_event", "parse_rule"]
