"""From an event and the live rules to trigger requests: finds the matching rules, and resolves their targets.

May import `rules` and everything below it. The store of rules is a port here; `aws.dynamodb` implements it.
"""

from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.routing.resolve import resolve

__all__ = ["LiveRules", "resolve"]
