"""`mwaa-gateway namespaces`: which sources, environments and DAGs each team's rules may name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gateway_cli.choice import ask
from gateway_cli.connection import Connection, connection_options
from gateway_cli.documents.json_documents import json_object
from gateway_cli.documents.yaml_documents import write_yaml
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.namespaces.store import StoredNamespace
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table, who
from gateway_cli.rules.files import Mistake, read_documents
from gateway_cli.rules.options import commit_of, commit_option, count, now
from mwaa_gateway.errors import InvalidNamespace, InvalidRule
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.allow_lists import EVERY_NAMESPACE, Namespace, Namespaces

_by = click.option("--by", metavar="NAME", help="Who makes the change; default: the caller's ARN.")
_yes = click.option("--yes", is_flag=True, help="Do not ask, even if rules stop matching.")
_name = click.argument("name", metavar="NAMESPACE")


@click.group(cls=Group, epilog=EXIT_CODES)
def namespaces() -> None:
    """Set which sources, environments and DAGs each team's rules may name.

    A rule's namespace is the part before the first dot of its id: `finance` of `finance.orders`. A namespace without an
    allow-list may name everything, unless there is a list for `*`. Rules are checked when they are written, and by the
    gateway whenever it reads them: a rule that is no longer allowed is skipped and reported.

    \b
    An allow-list:
      namespace: finance
      sources: [acme.ledger, "aws.s3#acme-finance-*"]   # a source, or source#bucket (source#topic, source#detail-type)
      environments: [analytics]
      dag_ids: [finance_*]
    """


@namespaces.command("list")
@output_option
@connection_options
def list_namespaces(connection: Connection, output: str) -> None:
    """List the allow-lists.

    \b
    Example:
      mwaa-gateway namespaces list
    """
    stored = connection.namespaces.everything().values()
    if output == "json":
        print_json([_facts(namespace) for namespace in stored])
        return
    if not stored:
        print_note("there are no allow-lists: every rule may name everything")
    print_table(
        ["NAMESPACE", "SOURCES", "ENVIRONMENTS", "DAGS", "UPDATED (UTC)", "BY"],
        [
            [
                namespace.name,
                *("\n".join(_document(namespace).get(name, ["(unreadable)"])) for name in _LISTS),
                namespace.updated_at[:19].replace("T", " "),
                who(namespace.updated_by),
            ]
            for namespace in stored
        ],
    )


@namespaces.command(short_help="Show an allow-list, and the rules it refuses.")
@_name
@output_option
@connection_options
def show(connection: Connection, name: str, output: str) -> None:
    """Show an allow-list, as YAML that can be applied again, and the rules it does not allow.

    \b
    Example:
      mwaa-gateway namespaces show finance
    """
    stored = _existing(connection, name)
    refused = _refused(connection, connection.namespaces.namespaces(), of=name)
    if output == "json":
        print_json(_facts(stored) | {"not_allowed": refused})
        return
    click.echo(f"# version {stored.version}, updated {stored.updated_at} by {stored.updated_by}")
    click.echo(write_yaml(_document(stored)), nl=False)
    for sentence in refused:
        print_note(f"not allowed: {sentence}")


@namespaces.command(short_help="Write allow-lists from a file.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@_yes
@_by
@commit_option
@output_option
@connection_options
def apply(
    connection: Connection, *, file: Path, yes: bool, by: str | None, commit: str | None, output: str
) -> None:
    """Write allow-lists from a YAML or JSON file: one, or a list of them.

    If there is a mistake anywhere, nothing is written. If rules of the table would no longer be allowed, the command
    lists them and asks first. The history keeps each change, with its author, time and git commit.

    \b
    Example:
      mwaa-gateway namespaces apply namespaces.yaml
    """
    wanted, mistakes = _read(file)
    if mistakes:
        for mistake in mistakes:
            print_note(str(mistake))
        raise Refused(f"{count(len(mistakes), 'mistake')}: nothing was written")
    store = connection.namespaces
    stored = store.everything()
    known = dict(store.namespaces().known) | {namespace.name: namespace for namespace in wanted}
    after = Namespaces(known)
    _ask_about(_newly_refused(connection, after), yes=yes)
    commit = commit_of([file]) if commit is None else commit
    outcomes: list[dict[str, str]] = []
    try:
        for namespace in wanted:
            read = stored.get(namespace.name, StoredNamespace(namespace.name))
            outcome = store.put(namespace, read, by=by or connection.caller, now=now(), commit=commit)
            outcomes.append({"namespace": namespace.name, "outcome": outcome})
    finally:  # lists that were written before an error stay written: print them before the error
        if output == "json":
            print_json({"applied": outcomes})
        elif outcomes:
            print_table(["NAMESPACE", "OUTCOME"], [tuple(each.values()) for each in outcomes])


@namespaces.command(short_help="Delete an allow-list.")
@_name
@_yes
@_by
@output_option
@connection_options
def delete(connection: Connection, *, name: str, yes: bool, by: str | None, output: str) -> None:
    """Delete an allow-list: its rules may then name what `*` may, or everything if there is no `*`.

    Its history stays.

    \b
    Example:
      mwaa-gateway namespaces delete finance
    """
    stored = _existing(connection, name)
    known = dict(connection.namespaces.namespaces().known)
    known.pop(name, None)
    without = (
        "without it, rules whose own namespace has no allow-list may name everything"
        if name == EVERY_NAMESPACE
        else f"without it, rules of {name!r} may name what `*` may, or everything"
    )
    _ask_about([without, *_newly_refused(connection, Namespaces(known))], yes=yes)
    connection.namespaces.delete(stored, by=by or connection.caller, now=now())
    if output == "json":
        print_json({"namespace": name, "outcome": "deleted"})
    else:
        click.echo(f"{name}: deleted")


@namespaces.command(short_help="List every version of an allow-list.")
@_name
@output_option
@connection_options
def history(connection: Connection, name: str, output: str) -> None:
    """List every version of an allow-list, newest first.

    Each line has the change, the time, its author, the git commit, and what it added (+) and removed (-). A deleted
    list keeps its history.

    \b
    Example:
      mwaa-gateway namespaces history finance
    """
    versions = connection.namespaces.versions(name)
    if not versions:
        _existing(connection, name)  # raises, unless it was written before versions were kept
        print_note(
            f"the allow-list of {name!r} was last written by a version without history; the next change is recorded"
        )
    changes = [_changes(older, newer) for newer, older in zip(versions, [*versions[1:], None], strict=False)]
    if output == "json":
        print_json(
            [
                _facts(version) | {"change": version.change, "changes": changed}
                for version, changed in zip(versions, changes, strict=True)
            ]
        )
        return
    print_table(
        ["VERSION", "CHANGE", "WHEN (UTC)", "WHO", "COMMIT", "WHAT"],
        [
            [
                f"v{version.version}",
                version.change,
                version.updated_at[:19].replace("T", " "),
                who(version.updated_by),
                version.commit,
                "\n".join(_words(changed)),
            ]
            for version, changed in zip(versions, changes, strict=True)
        ],
    )


_LISTS = ("sources", "environments", "dag_ids")


def _changes(before: StoredNamespace | None, after: StoredNamespace) -> dict[str, dict[str, list[str]]]:
    """Return the entries added to and removed from each list; none for a deletion."""
    old, new = _document(before), _document(after)
    differing = {}
    for name in _LISTS if new else ():
        was, is_now = old.get(name, []), new.get(name, [])
        added = [entry for entry in is_now if entry not in was]
        removed = [entry for entry in was if entry not in is_now]
        if added or removed:
            differing[name] = {"added": added, "removed": removed}
    return differing


def _words(changed: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    return [
        f"{name} "
        + " ".join([*(f"+{entry}" for entry in lists["added"]), *(f"-{entry}" for entry in lists["removed"])])
        for name, lists in changed.items()
    ]


def _read(file: Path) -> tuple[list[Namespace], list[Mistake]]:
    if not file.is_file():
        return [], [Mistake(str(file), None, None, None, "no such file")]
    documents, mistakes = read_documents(file)
    wanted: list[Namespace] = []
    for document in documents:
        values = document.value if isinstance(document.value, list) else [document.value]
        for position, value in enumerate(values):
            place = (position,) if isinstance(document.value, list) else ()
            try:
                wanted.append(Namespace.parse(value))
            except InvalidNamespace as error:
                mistakes += [
                    Mistake(
                        str(file),
                        document.lines.get((*place, problem.field), document.lines[place]),
                        None,
                        problem.field or None,
                        problem.message,
                    )
                    for problem in error.problems
                ]
    if not wanted and not mistakes:
        mistakes.append(Mistake(str(file), None, None, None, "contains no allow-list"))
    return wanted, mistakes


def _existing(connection: Connection, name: str) -> StoredNamespace:
    stored = connection.namespaces.everything().get(name)
    if stored is None:
        raise Refused(f"there is no allow-list for {name!r}: `mwaa-gateway namespaces list` lists them")
    return stored


def _newly_refused(connection: Connection, after: Namespaces) -> list[str]:
    """Return a sentence for each rule that is allowed now, and would not be afterwards."""
    before = set(_refused(connection, connection.namespaces.namespaces()))
    return [sentence for sentence in _refused(connection, after) if sentence not in before]


def _refused(connection: Connection, allow_lists: Namespaces, of: str | None = None) -> list[str]:
    rules = (rule for rule in _rules(connection) if of in {None, "*", rule.namespace})
    return [f"{rule.id}: {problem}" for rule in rules for problem in allow_lists.permits(rule)]


def _rules(connection: Connection) -> Iterable[Rule]:
    for item in connection.store.list():
        document = json_object(item.document)
        try:
            if document:
                yield parse_rule(document, environments=None)
        except InvalidRule:
            continue  # it starts nothing anyway


def _ask_about(sentences: Sequence[str], *, yes: bool) -> None:
    for sentence in sentences:
        print_note(sentence)
    if sentences and not yes:
        ask("Continue?", "nothing was changed; use --yes to continue without a question")


def _document(namespace: StoredNamespace | None) -> dict[str, Any]:
    return (json_object(namespace.document) if namespace else None) or {}


def _facts(namespace: StoredNamespace) -> dict[str, Any]:
    return {
        "namespace": namespace.name,
        **{name: _document(namespace).get(name) for name in _LISTS},
        "version": namespace.version,
        "updated_at": namespace.updated_at,
        "updated_by": namespace.updated_by,
        "commit": namespace.commit or None,
    }
