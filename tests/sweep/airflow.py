"""Amazon MWAA and Step Functions for the sweep: what moto does not have, answered from memory."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from simulation import airflow_rest
from simulation.airflow import Airflow, words_of
from simulation.mwaa import Response

__all__ = ["Environment", "StepFunctions"]

CANARY = "canary-cli-token"


@dataclass
class Environment:
    """One MWAA environment. The first try of every run meets a busy web server.

    A run ends as its conf says: `ends` in this state, `after` so many seconds.
    """

    airflow: Airflow
    met: set[str] = field(default_factory=set)

    @property
    def host(self) -> str:
        return f"{self.airflow.environment}.c1.eu-west-1.airflow.amazonaws.com"

    def post(self, command: str, now: float) -> Response:
        """`POST /aws_mwaa/cli`."""
        words = words_of(command)
        match words[:2]:
            case ["dags", "trigger"] if self._is_busy(
                *[word for word in words if word.startswith("--run-id")]
            ):
                return Response(503, b"busy")
            case ["dags", "list-runs"]:
                rows = self._rows(words[-1], "run_id", now)
                return _said(json.dumps(rows) + "\n")
        answer = self.airflow.execute(command, now, now)
        return _said(answer.stdout, answer.stderr)

    def invoke(self, call: dict[str, Any], now: float) -> tuple[int, dict[str, Any]]:
        """InvokeRestApi."""
        request = {"Method": call["Method"], "Path": call["Path"], "Body": call.get("Body")}
        request["QueryParameters"] = call.get("QueryParameters")
        if request["Path"] == "/dags/~/dagRuns/list":
            [dag_id] = request["Body"]["dag_ids"]
            rows = self._rows(dag_id, "dag_run_id", now)
            return 200, {"RestApiStatusCode": 200, "RestApiResponse": {"dag_runs": rows}}
        creates = request["Method"] == "POST" and "dag_run_id" in request["Body"]
        if creates and self._is_busy(request["Body"]["dag_run_id"]):
            return 429, {"__type": "ThrottlingException", "message": "Rate exceeded"}
        said = airflow_rest.answer(self.airflow, request, now, now)
        if said.status >= 400:
            kind = "RestApiServerException" if said.status >= 500 else "RestApiClientException"
            error = {"__type": kind, "RestApiStatusCode": said.status, "RestApiResponse": said.document}
            return 400, error
        return 200, {"RestApiStatusCode": said.status, "RestApiResponse": said.document}

    def _is_busy(self, run_id: str) -> bool:
        first = run_id not in self.met
        self.met.add(run_id)
        return first

    def _rows(self, dag_id: str, name: str, now: float) -> list[dict[str, Any]]:
        return [
            {
                name: run.run_id,
                "state": _state(json.loads(run.conf), now - run.created_at),
                "start_date": "2026-11-22T10:00:00+00:00",
                "end_date": "2026-11-22T10:01:00+00:00",
            }
            for run in self.airflow.runs.values()
            if run.dag_id == dag_id
        ]


def _state(conf: dict[str, Any], age: float) -> str:
    return "running" if age < conf.get("after", 0) else str(conf.get("ends", "success"))


def _said(stdout: str, stderr: str = "") -> Response:
    document = {
        name: base64.b64encode(text.encode()).decode()
        for name, text in (("stdout", stdout), ("stderr", stderr))
    }
    return Response(200, json.dumps(document).encode())


@dataclass
class StepFunctions:
    """Waiting states by their token; a token takes one word."""

    words: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    heartbeats: set[str] = field(default_factory=set)

    def answer(self, operation: str, call: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        token = call["taskToken"]
        if self.words.get(token):
            self.refused.append(token)
            return 400, {"__type": "TaskTimedOut", "message": f"Task Timed Out: {token}"}
        if operation == "SendTaskHeartbeat":
            self.heartbeats.add(token)
        else:
            self.words.setdefault(token, []).append(call.get("error", "success"))
        return 200, {}
