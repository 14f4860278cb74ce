"""EventBridge's event pattern language: compile patterns once, then match events with one or with 100,000.

May import only `mwaa_gateway.errors` and `mwaa_gateway.values` of the gateway, so that it can be a library of its own: see
README.md beside this file.
`pattern` compiles and matches, `operators` reads the entries of a pattern, `matchers` compares values, `json_text` preserves
the spelling of numbers, `flat_event` reads an event's fields, and `index/` finds the rules that match an event.
"""

from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern

__all__ = ["Pattern", "RuleIndex", "compile_pattern"]
