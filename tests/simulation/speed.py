"""What a seed's day does once, or not at all: it takes a good part of the time, and decides nothing there."""

import gc
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from mwaa_gateway.aws.dynamodb import ledger_items
from mwaa_gateway.routing import live_rules
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["at_full_speed", "rules_read_once", "texts_read_once"]


@contextmanager
def at_full_speed() -> Iterator[None]:
    """Leave out what takes a third of a day's time; also a decorator. The tests of single rows have all of that as it is.

    The ledger's rows are not compressed, so that no operator's command could read them, and each request is written once;
    beside that `texts_read_once`.
    """
    uncompressed = SimpleNamespace(compress=bytes, decompress=bytes)
    with (
        _garbage_left_for_later(),
        texts_read_once(),
        _instead(ledger_items, zlib=uncompressed),
        _instead(TriggerRequest, to_json=_written_once(TriggerRequest.to_json)),
    ):
        yield


@contextmanager
def texts_read_once() -> Iterator[None]:
    """Compress and read each trigger request once for all who come by the same text; beside that `rules_read_once`."""
    compressed = SimpleNamespace(compress=cache(zlib.compress), decompress=cache(zlib.decompress))
    with (
        _instead(ledger_items, zlib=compressed),
        _instead(TriggerRequest, from_json=_read_once(TriggerRequest.from_json)),
        rules_read_once(),
    ):
        yield


@contextmanager
def _garbage_left_for_later() -> Iterator[None]:
    """Collect what a day leaves behind once, at its end, without looking at what was there before it."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()


@contextmanager
def rules_read_once() -> Iterator[None]:
    """Compile a rule's text once for all sandboxes."""
    with _instead(live_rules, **_rules_read_once()):
        yield


@contextmanager
def _instead(owner: Any, **others: Any) -> Iterator[None]:
    """Put others in the place of an owner's attributes."""
    ours = {name: vars(owner)[name] for name in others}
    for name, other in others.items():
        setattr(owner, name, other)
    try:
        yield
    finally:
        for name, mine in ours.items():
            setattr(owner, name, mine)


def _rules_read_once() -> dict[str, Any]:
    # A text is one document for all who read it, so that what is made of a document is known by it.
    return {
        "json": SimpleNamespace(loads=cache(json.loads)),
        "compiled_patterns": _once_for_each_document(live_rules.compiled_patterns),
        "parse_rule": _once_for_each_document(live_rules.parse_rule),
    }


def _once_for_each_document(read: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[
        tuple[Any, ...], tuple[Any, Any]
    ] = {}  # holds the document too: an id is unique while it lives

    def once(document: Any, **how: Any) -> Any:
        key = (id(document), *how.values())
        if key not in known:
            known[key] = (document, read(document, **how))
        return known[key][1]

    return once


def _read_once(from_json: Callable[[str], TriggerRequest]) -> Callable[[str | bytes], TriggerRequest]:
    read = cache(from_json)
    return lambda text: read(text.decode() if isinstance(text, bytes) else text)


def _written_once(to_json: Callable[[TriggerRequest], str]) -> Callable[[TriggerRequest], str]:
    written: dict[int, tuple[TriggerRequest, str]] = {}  # as above

    def write(request: TriggerRequest) -> str:
        known = written.get(id(request))
        if known is None:
            known = written[id(request)] = (request, to_json(request))
        return known[1]

    return write
