"""The client that its first call builds."""

import contextlib
import threading
from types import SimpleNamespace

import pytest

from mwaa_gateway.aws import clients


def test_a_late_client_is_built_once_by_the_first_call(monkeypatch: pytest.MonkeyPatch):
    """Also when a dispatcher's threads make it at the same time: boto3's session is not made for that."""
    built: list[str] = []
    entered, together = threading.Barrier(4), threading.Barrier(2)

    def build(service: str, *, config: object) -> SimpleNamespace:
        assert clients.CLIENT_CONFIG is config
        built.append(service)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=0.1)  # another thread that builds one, too
        return SimpleNamespace(send_message=lambda: number)

    number = object()
    monkeypatch.setattr("boto3.client", build)
    sqs = clients.late_client("sqs")
    assert [] == built
    answers: list[object] = []

    def send() -> None:
        entered.wait()
        answers.append(sqs.send_message())  # type: ignore[call-arg]

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (["sqs"], [number] * 4) == (built, answers)


def test_a_client_that_cannot_be_built_is_built_by_the_next_call(monkeypatch: pytest.MonkeyPatch):
    """The failure is the call's, like any failure of AWS."""
    answers = iter([RuntimeError("no region"), SimpleNamespace(send_message=lambda: "sent")])

    def build(_service: str, *, config: object) -> SimpleNamespace:  # noqa: ARG001
        answer = next(answers)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr("boto3.client", build)
    sqs = clients.late_client("sqs")
    with pytest.raises(RuntimeError, match="no region"):
        sqs.send_message()  # type: ignore[call-arg]
    assert "sent" == sqs.send_message()  # type: ignore[call-arg]
