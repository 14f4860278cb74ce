"""MiniStack as strict as AWS where the gateway relies on it: `python -m local_stack.ministack_server`.

1. MiniStack 1.5.33 starts a sandbox for every invocation that finds none idle: 200 uploads in one second
   would be 200 Python processes (12 GB), and its only alternative is a throttle, which it counts as a failed
   attempt and, from SNS and EventBridge, never repeats. Lambda would let asynchronous events wait. So does
   this: beyond `SANDBOXES_PER_FUNCTION` an invocation waits until another has finished.
2. The template denies whatever does not come by TLS, and MiniStack obeys. Here everything comes by plain HTTP
   over the loopback interface, which no other machine can listen to: that counts as secure transport.
3. In IAM a batch of SQS messages is allowed by the action of a single one; `sqs:SendMessageBatch` is none.
   MiniStack asks for it.
4. A policy may open single partitions of a DynamoDB table; MiniStack does not tell it which ones a request is about.
5. States that wait with a task token: `ministack_step_functions`.
6. Whose policy a delivery needs, and where a refused one ends up: `ministack_deliveries`.
7. Which invocations are a recursive loop: `ministack_recursion`.
8. Which payloads, settings and outputs are too large: `ministack_limits`.
9. Conditions with an `Fn::Join`: `ministack_conditions`.
10. A change of an EventBridge rule's targets needs a permission on the rule; MiniStack asks for one on its bus.
11. Logs Insights, and JSON patterns of FilterLogEvents: `ministack_insights`.
12. Composite alarms in a stack: `ministack_alarms`.
13. A function that changes, or one of whose sandboxes fails, ends what its other sandboxes have begun.
14. It ends, with every function it runs, when the process that started it has ended, however that came about.

Everything else is MiniStack as published.
"""

import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_actions, lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

from local_stack import (
    ministack_alarms,
    ministack_conditions,
    ministack_deliveries,
    ministack_insights,
    ministack_limits,
    ministack_recursion,
    ministack_step_functions,
)

# At least the four slots an environment's dispatcher may be given; each sandbox is about 60 MB.
SANDBOXES_PER_FUNCTION = 4
_PARENT_POLL_SECONDS = 0.5


def _bound_sandboxes(ceiling: int) -> None:
    acquire: Callable[..., tuple[Any, str]] = lambda_svc.acquire_worker
    release: Callable[[Any], None] = lambda_svc.release_worker
    # One for each function: hundreds of threads may wait, and each needless wake-up costs the others processor time.
    lock = threading.Lock()
    freed: dict[str, threading.Condition] = defaultdict(lambda: threading.Condition(lock))

    def acquire_or_wait(name: str, config: Any, code: bytes, **options: Any) -> tuple[Any, str]:
        with lock:
            while True:
                sandbox, reason = acquire(name, config, code, max_concurrency=ceiling, **options)
                if sandbox is not None:
                    return sandbox, reason
                freed[name].wait()

    def release_and_tell(sandbox: Any) -> None:
        release(sandbox)
        with lock:
            if sandbox is not None:
                freed[sandbox.func_name].notify()
            else:  # one that is gone: it is not said whose
                for each in freed.values():
                    each.notify()

    lambda_svc.acquire_worker = acquire_or_wait
    lambda_svc.release_worker = release_and_tell


def _let_invocations_end() -> None:
    kill: Callable[[list[Any]], None] = lambda_runtime.kill_workers
    acquire: Callable[..., tuple[Any, str]] = lambda_svc.acquire_worker
    release: Callable[[Any], None] = lambda_svc.release_worker
    of_this_thread, lock = threading.local(), threading.Lock()
    last_invocation: set[Any] = set()  # sandboxes that have left their pool and are at work

    def acquire_for_this_thread(*function: Any, **options: Any) -> tuple[Any, str]:
        of_this_thread.sandbox, reason = acquire(*function, **options)
        return of_this_thread.sandbox, reason

    def kill_now_or_later(doomed: list[Any]) -> None:
        failed = getattr(of_this_thread, "sandbox", None)
        with lock:
            at_work = {each for each in doomed if each.in_use and each is not failed}
            last_invocation.update(at_work)
        kill([each for each in doomed if each not in at_work])

    def release_or_kill(sandbox: Any) -> None:
        release(sandbox)
        of_this_thread.sandbox = None
        with lock:
            was_last = sandbox in last_invocation
            last_invocation.discard(sandbox)
        if was_last:
            kill([sandbox])

    lambda_runtime.kill_workers = kill_now_or_later
    lambda_svc.acquire_worker = acquire_for_this_thread
    lambda_svc.release_worker = release_or_kill


def _trust_loopback() -> None:
    pin: Callable[[str, bool], None] = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure_transport: pin(source_ip, True)  # noqa: FBT003


def _name_batches_as_iam_does() -> None:
    extract: Callable[..., str | None] = iam_actions.extract_iam_action

    def extract_known(*request: Any, **options: Any) -> str | None:
        action = extract(*request, **options)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = extract_known


def _name_rules_as_iam_does() -> None:
    extract: Callable[..., str] = iam_actions.extract_resource_arn

    def extract_rule(  # noqa: PLR0917  as MiniStack calls it
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        request = json.loads(body) if service == "events" and body else {}
        if rule := request.get("Rule"):
            bus = request.get("EventBusName", "default")
            return f"arn:aws:events:{region}:{account_id}:rule/{bus}/{rule}"
        return extract(service, method, path, headers, body, query_params, region, account_id)

    iam_actions.extract_resource_arn = extract_rule


def _tell_leading_keys() -> None:
    context: Callable[[bytes], dict[str, Any]] = iam_actions.dynamodb_service_context

    def context_with_keys(body: bytes) -> dict[str, Any]:
        keys = sorted(set(_leading_keys(json.loads(body or b"{}"))))
        return context(body) | ({"dynamodb:leadingkeys": keys} if keys else {})

    iam_actions.dynamodb_service_context = context_with_keys


def _leading_keys(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the partitions that a request names; none for a query's expression, or a request without single keys."""
    named = [request[name] for name in ("Key", "Item") if name in request]
    for of_one_table in request.get("RequestItems", {}).values():
        if isinstance(of_one_table, dict):  # else items to write, which no role here may do in batches
            named += of_one_table["Keys"]
    for key in named:
        if "partition" in key:  # what the rules table calls it
            yield key["partition"]["S"]


def _end_with(parent: int) -> None:
    """End the process group, which the functions belong to, once `parent` is no longer our parent."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def serve() -> None:
    """Serve until the process that started this one has ended."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _let_invocations_end()
    _bound_sandboxes(SANDBOXES_PER_FUNCTION)
    _trust_loopback()
    _name_batches_as_iam_does()
    _name_rules_as_iam_does()
    _tell_leading_keys()
    ministack_step_functions.mend()
    ministack_deliveries.extend()
    ministack_recursion.extend()
    ministack_limits.extend()
    ministack_conditions.extend()
    ministack_insights.extend()
    ministack_alarms.extend()
    app.main()


if __name__ == "__main__":
    serve()
