"""EventBridge's event pattern language: compile a pattern once, then match events, one rule or 100,000 at a time.

May import `mwaa_gateway.errors` and nothing else of the gateway, so that it can be a library of its own: see README.md
beside this file. `pattern` compiles, `operators` and `matchers` hold one module per half of the language, `json_text`
keeps the spelling of numbers, `flat_event` reads an event's fields, and `index/` finds the rules an event matches.
"""

from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern

__all__ = ["Pattern", "RuleIndex", "compile_pattern"]
