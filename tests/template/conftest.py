"""Expansions of template.yaml, each made once."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from template.expansion import EVERYTHING, Template, expand_template, read_source

Expand = Callable[..., Template]
# SAM's translator counts its use. At the end of the tests it warns, for each translation, that nobody publishes the counts.
logging.getLogger("samtranslator.metrics").addHandler(logging.NullHandler())
logging.getLogger("samtranslator.metrics").propagate = False


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    """template.yaml as written."""
    return read_source()


@pytest.fixture(scope="session")
def expand(source: dict[str, Any]) -> Expand:
    """template.yaml for given environments (`analytics` alone unless said otherwise) and parameters."""

    @cache
    def expansion(*environments: str, **parameters: str) -> Template:
        names = ",".join(environments or ("analytics",))
        return expand_template(source, {"Environments": names, **parameters})

    return expansion


@pytest.fixture(scope="session", params=["as it comes", "with everything"])
def deployed(request: pytest.FixtureRequest, expand: Expand) -> Template:
    """Two environments, once with the defaults and once with every optional part."""
    return expand("analytics", "legacy", **(EVERYTHING if request.param == "with everything" else {}))
