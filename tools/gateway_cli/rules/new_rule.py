"""A first rule file: filled in as far as the events' source allows, with comments on the rest."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.documents.yaml_documents import read_yaml, write_yaml
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.s3_uris import PIECE, capture_form

# Hidden, because other *.json files in a folder are rules
SCHEMA_NAME: Final = ".mwaa-gateway-rules.schema.json"


@dataclass(frozen=True, slots=True)
class NewRule:
    """The text of a rule file, and the rule in it."""

    text: str
    rule: Rule


def new_rule(source: str, *, dag_id: str, environment: str, rule_id: str | None = None) -> NewRule:
    """Write a rule file for the uploads to `s3://bucket/prefix/*.csv`; raises InvalidRule if that makes no valid rule.

    Named pieces, as in `s3://bucket/{region}/{file}.csv`, become the rule's captures, and fields of the conf.
    """
    rule_id = rule_id or _rule_id(source, dag_id)
    pieces = PIECE.findall(source)
    key = source.removeprefix("s3://").partition("/")[2]
    uploads = re.sub(r"\{[^{}]*\}", "*", source)
    text = _TEXT.format(
        schema=SCHEMA_NAME,
        id=rule_id,
        description=_quoted(f"Start {dag_id} for each upload to {source}"),
        source=_quoted(uploads),
        captures=_CAPTURES.format(form=_quoted(capture_form(key))) if pieces else "",
        environment=_quoted(environment),
        dag_id=_quoted(dag_id),
        pieces="".join(f"      {piece}: <{piece}>\n" for piece in pieces if piece != "_"),
    )
    documents, _ = read_yaml(text)
    written: Any = documents[0].value if documents else {}
    return NewRule(text, parse_rule(written, environments=None))


_TEXT: Final = """\
# yaml-language-server: $schema={schema}
id: {id}  # permanent: part of every run_id. The part before a dot is the namespace
description: {description}
s3: {source}  # uploads; `*` is any run of characters, `/` too
{captures}target:
  environment: {environment}
  dag_id: {dag_id}
  input_transformer:  # makes the run's conf; without it, the conf is the event itself
    input_paths:
      bucket: $.detail.bucket.name
      key: $.detail.object.key
      size: $.detail.object.size
    input_template:
      source: s3://<bucket>/<key>
      bytes: <size>
{pieces}"""
_CAPTURES: Final = """\
captures:  # an upload whose key has another form starts no run, and is reported as dead
  detail.object.key: {form}
"""


def _rule_id(source: str, dag_id: str) -> str:
    """Name the rule after bucket and DAG."""
    match = re.match(r"s3://([^/]*)", source)
    bucket = match[1] if match else "s3"
    return re.sub(r"[^a-z0-9_-]+", "-", f"{bucket}-{dag_id}".lower()).strip("-_")[:80]


def _quoted(text: str) -> str:
    """Return a text as YAML on one line, quoted if a YAML reader could take it for another type."""
    written = write_yaml({"text": text}).removeprefix("text: ").rstrip("\n")
    return json.dumps(text) if "\n" in written else written
