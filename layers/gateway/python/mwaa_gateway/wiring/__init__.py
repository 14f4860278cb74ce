"""The composition root: the only place that reads settings and builds clients, at the first event.

Each kind of function has its own module, so that a cold start imports only what the function needs.
"""

import gc
from collections.abc import Callable
from functools import cache
from typing import TypeVar

Built = TypeVar("Built")

# A start makes some hundred thousand objects and hardly any garbage: looking for it takes a tenth of the start's time
# (docs/adr/0032-*.md). `once` enables the collector again.
gc.disable()


def once(build: Callable[[], Built]) -> Callable[[], Built]:
    """Build what a function works with at its first event, then let the garbage collector work.

    What the start has made lives as long as the sandbox, so the collector never looks at it.
    """

    @cache
    def built() -> Built:
        try:
            return build()
        finally:
            if not gc.isenabled():
                gc.freeze()
                gc.enable()

    return built
