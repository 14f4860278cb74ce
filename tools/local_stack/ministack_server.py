"""MiniStack with a ceiling on sandboxes: `python -m local_stack.ministack_server`.

MiniStack 1.5.33 starts a sandbox for every invocation that finds none idle: 200 uploads in one second would be 200
Python processes (12 GB), and its only alternative is a throttle, which it counts as a failed attempt and, from SNS and
EventBridge, never repeats. Lambda would let asynchronous events wait. So does this: beyond `SANDBOXES_PER_FUNCTION`
an invocation waits until another has finished. Everything else is MiniStack as published.
"""

import threading
from collections.abc import Callable
from typing import Any

from ministack.app import main
from ministack.services import lambda_svc

__all__ = ["SANDBOXES_PER_FUNCTION"]

# At least the four slots an environment's dispatcher may be given; each sandbox is about 60 MB.
SANDBOXES_PER_FUNCTION = 4


def _bound_sandboxes(ceiling: int) -> None:
    acquire: Callable[..., tuple[Any, str]] = lambda_svc.acquire_worker
    release: Callable[[Any], None] = lambda_svc.release_worker
    freed = threading.Condition()

    def acquire_or_wait(name: str, config: Any, code: bytes, **options: Any) -> tuple[Any, str]:
        with freed:
            while True:
                sandbox, reason = acquire(name, config, code, max_concurrency=ceiling, **options)
                if sandbox is not None:
                    return sandbox, reason
                freed.wait()

    def release_and_tell(sandbox: Any) -> None:
        release(sandbox)
        with freed:
            freed.notify_all()

    lambda_svc.acquire_worker = acquire_or_wait
    lambda_svc.release_worker = release_and_tell


if __name__ == "__main__":
    _bound_sandboxes(SANDBOXES_PER_FUNCTION)
    main()
