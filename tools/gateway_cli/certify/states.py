"""States of the canary state machine, which wait for runs of a chosen length."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway_cli.certify.gateway_probe import TRIES, GatewayProbe
from gateway_cli.certify.judging import Execution
from gateway_cli.documents.json_documents import json_object


@dataclass
class States:
    """Starts executions, and follows each to its end."""

    gateway: GatewayProbe

    def execute(self, state_machine: str, seconds: float, patience: float) -> Execution:
        """Start an execution whose run takes `seconds`; stop it if it still runs after `patience`."""
        detail = {"input": {"stamp": [self.gateway.stamp]}}
        pattern = {"source": ["aws.states"], "detail-type": ["DAG Run Requested"], "detail": detail}
        self.gateway.write_rule("states", pattern, paths={"seconds": "$.detail.input.seconds"})
        begun = time.monotonic()
        ended: Mapping[str, Any] = {}
        for tries in range(1, TRIES + 1):
            ended = self._execution(state_machine, seconds, begun + patience)
            if ended.get("error") != "NoRuleMatched" or tries == TRIES:
                break
            time.sleep(self.gateway.again_seconds)  # the function's rules are older than the rule
        took = time.monotonic() - begun
        if run_id := (json_object(ended.get("output") or "{}") or {}).get("run_id"):
            self.gateway.runs.append(str(run_id))
        return Execution(str(ended["status"]), str(ended.get("error", "")), str(ended.get("cause", "")), took)

    def _execution(self, state_machine: str, seconds: float, end: float) -> Mapping[str, Any]:
        """Start an execution, and return its description when it ends, or at `end`."""
        client = self.gateway.connection.client("stepfunctions")
        given = json.dumps({"stamp": self.gateway.stamp, "seconds": int(seconds)})
        arn: str = client.start_execution(stateMachineArn=state_machine, input=given)["executionArn"]
        stop = self.gateway.undo_later("execution", lambda: client.stop_execution(executionArn=arn))

        def described() -> Mapping[str, Any]:
            found: Mapping[str, Any] = client.describe_execution(executionArn=arn)
            return found

        self.gateway.wait_for(lambda: described()["status"] != "RUNNING", end)
        ended = described()
        if ended["status"] == "RUNNING":
            self.gateway.undo_now(stop)
        else:
            self.gateway.forget(stop)
        return ended

    def dropped_rounds(self, since: datetime) -> int:
        """Return how many invocations of the run watcher Lambda has dropped as a recursive loop."""
        function = f"{self.gateway.connection.stack}-run-watcher-{self.gateway.environment}"
        metric = {
            "Namespace": "AWS/Lambda",
            "MetricName": "RecursiveInvocationsDropped",
            "Dimensions": [{"Name": "FunctionName", "Value": function}],
        }
        answer = self.gateway.connection.client("cloudwatch").get_metric_data(
            MetricDataQueries=[
                {"Id": "dropped", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
            ],
            StartTime=since,
            EndTime=datetime.now(UTC),
        )
        return int(sum(sum(each["Values"]) for each in answer["MetricDataResults"]))
