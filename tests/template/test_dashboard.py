"""The dashboard: each graph searches for metrics that the gateway or AWS publishes, and says what it shows."""

import ast
import json
import re
from xml.etree import ElementTree as ET

import pytest

from mwaa_gateway.outcomes import AlreadyTriggered, Held, OutcomeUnknown, Rejected, Retryable, Triggered
from template.dashboard import PICTURE, draw, matches
from template.expansion import EVERYTHING, ROOT, expand_template

PACKAGE = ROOT / "layers" / "gateway" / "python" / "mwaa_gateway"
OUTCOMES = {
    kind.__name__ for kind in (AlreadyTriggered, Held, OutcomeUnknown, Rejected, Retryable, Triggered)
}
# Metrics of AWS, with the dimension by which the graph finds them.
OF_AWS = {
    ("AWS/SQS", "QueueName", "ApproximateAgeOfOldestMessage"),
    ("AWS/SQS", "QueueName", "ApproximateNumberOfMessagesVisible"),
    ("AWS/Lambda", "FunctionName", "Errors"),
    ("AWS/Lambda", "FunctionName", "Throttles"),
}
SEARCH = re.compile(
    r"""SEARCH\('\{([\w/]+),([\w,]+)\} MetricName="(\w+)" ([\w() -]+)', '(Sum|Maximum|Average|p50|p99)', \d+\)"""
)


@pytest.fixture(scope="module")
def dashboard(source):
    [body] = expand_template(source, EVERYTHING).of_type("AWS::CloudWatch::Dashboard").values()
    return json.loads(body["DashboardBody"])


@pytest.fixture(scope="module")
def graphs(dashboard):
    return [widget for widget in dashboard["widgets"] if widget["type"] == "metric"]


def published() -> set[str]:
    """Every text that the code of observability has as a key or a name of a metric, and the outcomes."""
    texts = set(OUTCOMES)
    for file in [*PACKAGE.glob("observability/*.py"), *PACKAGE.glob("wiring/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Dict(keys=keys):
                    texts |= {key.value for key in keys if isinstance(key, ast.Constant)}
                case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))]):
                    texts.add(name)
                case ast.keyword(arg="name", value=ast.Constant(value=str(name))):
                    texts.add(name)
    return texts


def searches(graph):
    return [metric[0]["expression"] for metric in graph["properties"]["metrics"]]


def test_each_graph_has_a_title_and_a_unit(graphs):
    """In words, on its axis."""
    assert len(graphs) == 10
    for graph in graphs:
        shown = graph["properties"]
        assert shown["title"]
        assert shown["yAxis"]["left"]["label"]
    titles = [graph["properties"]["title"] for graph in graphs]
    assert len(set(titles)) == len(titles)


def test_each_graph_searches_for_metrics_that_somebody_publishes(graphs):
    """The gateway's own by names from its code and with the dimensions it gives them; those of AWS from a list."""
    ours = published()
    for graph in graphs:
        for expression in searches(graph):
            [(namespace, dimensions, metric, terms, _)] = SEARCH.findall(expression)
            if namespace == "MwaaTriggerGateway":
                assert metric in ours, metric
                assert dimensions in {"service", "environment,service"}
            else:
                assert (namespace, dimensions, metric) in OF_AWS
            words = terms.partition(" NOT ")[0].replace("(", "").replace(")", "").split(" OR ")
            assert all(word.startswith("mwaa-gateway-") for word in words), (
                "the stack's name, and a word after it"
            )


def test_the_graphs_find_every_function_and_queue_of_the_stack_and_of_no_other(source, graphs):
    """A name is found by words that follow one another: `mwaa-gateway-dispatcher` misses `mwaa-gateway-test-dispatcher`."""
    deployed = expand_template(source, EVERYTHING)
    functions = {each["FunctionName"] for each in deployed.of_type("AWS::Lambda::Function").values()}
    queues = {
        each["QueueName"] for each in deployed.of_type("AWS::SQS::Queue").values() if "QueueName" in each
    }
    found = {"AWS/Lambda": set(), "AWS/SQS": set()}
    names = {"AWS/Lambda": functions, "AWS/SQS": queues}
    for graph in graphs:
        for expression in searches(graph):
            [(namespace, _, _, terms, _)] = SEARCH.findall(expression)
            for name in names.get(namespace, ()):
                found[namespace] |= {name} if matches(terms, name) else set()
                other = name.replace("mwaa-gateway", "mwaa-gateway-test")
                assert not matches(terms, other), (terms, other)
    assert functions == found["AWS/Lambda"]
    shown = {name for name in queues if {"trigger", "ingress", "collect"} & set(name.split("-"))}
    assert shown == found["AWS/SQS"]


def test_the_graphs_stay_within_the_limits_of_cloudwatch(dashboard, graphs):
    """A search has 1,024 characters, also with the longest stack name; ids differ; the grid has 24 columns."""
    longer = 64 - len("-step-functions-task") - len("mwaa-gateway")  # a function's name has 64 characters
    for graph in graphs:
        for expression in searches(graph):
            assert len(expression) + expression.count("mwaa-gateway") * longer <= 1024
        ids = [metric[0]["id"] for metric in graph["properties"]["metrics"]]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-z]\w*", one) for one in ids)
    taken = set()
    for widget in dashboard["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_picture_shows_each_graph(dashboard, graphs):
    """Drawn from the template's own JSON: with figures where there are some, and with none where there are not."""
    series = {
        ("MwaaTriggerGateway", "Triggered", "analytics"): [(0.0, 1.0), (5.0, 1.0), (60.0, 1.0)],
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "mwaa-gateway-trigger-analytics"): [(0.0, 3.0)],
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "mwaa-gateway-trigger-dlq-analytics"): [(0.0, 2.0)],
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "another-trigger-analytics"): [(0.0, 9.0)],
    }
    picture = draw(dashboard, series)
    assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314  our own text
    assert all(graph["properties"]["title"] in picture for graph in graphs)
    assert picture.count("no data") == len(graphs) - 3
    assert ">12</text>" in picture, "two runs in ten seconds are twelve a minute"
    assert ("another" in picture, picture.count(">mwaa-gateway-trigger")) == (False, 2)
    committed = PICTURE.read_text(encoding="utf-8")
    assert all(graph["properties"]["title"] in committed for graph in graphs), (
        "python tests/template/dashboard.py"
    )
