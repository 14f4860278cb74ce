"""The start of a sandbox: built once, without the garbage collector until then."""

import gc
from collections.abc import Iterator

import pytest

from mwaa_gateway.wiring import once


@pytest.fixture(autouse=True)
def collected_afterwards() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_a_function_is_built_once_and_then_garbage_is_collected():
    """What the start has made is not looked at again."""
    gc.disable()
    meanwhile: list[bool] = []
    build = once(lambda: meanwhile.append(gc.isenabled()) or object())
    assert build() is build()
    assert ([False], True) == (meanwhile, gc.isenabled())
    assert gc.get_freeze_count() > 0


def test_garbage_is_collected_also_after_a_build_that_fails():
    """A missing setting fails every event of the sandbox; the next event builds again."""
    gc.disable()
    results = iter([KeyError("RULES_TABLE"), None])

    @once
    def build() -> str:
        if error := next(results):
            raise error
        return "built"

    with pytest.raises(KeyError):
        build()
    assert gc.isenabled()
    assert "built" == build()
