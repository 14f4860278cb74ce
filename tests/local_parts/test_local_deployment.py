"""How template.yaml becomes deployable on MiniStack: pure steps, each a named substitution and nothing more."""

import copy
import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from local_stack.artifacts import Artifact, function_artifact, unpacked_layer
from local_stack.template import load_template, localise

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
PARAMETERS = {"Environments": "analytics,legacy"}


def package(template, parameters=PARAMETERS):
    return localise(
        template,
        bucket="artifacts",
        parameters=parameters,
        function=lambda folder: Artifact(f"function:{folder}", b""),
        layer=lambda folder: Artifact(f"layer:{folder}", b""),
    )


def test_every_function_and_layer_of_the_template_is_shipped():
    """The project's own template: its folders become objects, a folder named by a loop included."""
    root = TEMPLATE.parent
    functions = {f"function:functions/{app.parent.name}/" for app in root.glob("functions/*/app.py")}
    layers = {f"layer:layers/{folder.name}/" for folder in root.glob("layers/*/")}

    shipped = {artifact.key for artifact in package(load_template(TEMPLATE)).artifacts}

    assert shipped == functions | layers


def test_nothing_of_the_template_is_left_out():
    """MiniStack knows every resource type the gateway uses; the day one is left out, someone decides so here."""
    assert package(load_template(TEMPLATE)).left_out == ()


def test_the_template_given_is_not_changed():
    """A caller may use the template again."""
    template = load_template(TEMPLATE)
    before = copy.deepcopy(template)

    package(template)

    assert template == before


@pytest.mark.parametrize(("parameters", "written"), [({}, 3), ({"Slots": "4"}, 4), ({"Slots": "0.5"}, 0.5)])
def test_a_reference_to_a_number_becomes_the_number_it_will_be(parameters, written):
    """At any depth; references to anything else stay."""
    template = {
        "Parameters": {"Slots": {"Type": "Number", "Default": 3}, "Name": {"Type": "String"}},
        "Resources": {
            "Fn::ForEach::Loop": [
                "X",
                ["a"],
                {"Map${X}": {"Type": "T", "Properties": {"Deep": [{"Ref": "Slots"}, {"Ref": "Name"}]}}},
            ]
        },
    }

    resources = package(template, parameters).template["Resources"]

    assert resources["Fn::ForEach::Loop"][2]["Map${X}"]["Properties"]["Deep"] == [written, {"Ref": "Name"}]


def test_a_functions_variables_stay_as_they_are():
    """They are text: MiniStack cannot start a process with a number in its environment."""
    variables = {"Variables": {"SLOTS": {"Ref": "Slots"}}}
    template = {
        "Parameters": {"Slots": {"Type": "Number", "Default": 3}},
        "Resources": {
            "F": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"CodeUri": "f/", "Environment": variables},
            }
        },
    }

    resources = package(template, {}).template["Resources"]

    assert resources["F"]["Properties"]["Environment"] == variables


def test_a_layer_is_copied_as_it_is_now(tmp_path):
    """An edit after the deployment changes nothing for the functions; compiled code never ships."""
    layer = tmp_path / "layer"
    (layer / "package" / "__pycache__").mkdir(parents=True)
    (layer / "package" / "module.py").write_text("before")
    (layer / "package" / "__pycache__" / "module.pyc").write_bytes(b"")

    first = unpacked_layer(layer, tmp_path / "copies")
    (layer / "package" / "module.py").write_text("after")
    second = unpacked_layer(layer, tmp_path / "copies")

    assert (first / "package" / "module.py").read_text() == "before"
    assert (second / "package" / "module.py").read_text() == "after"
    assert not list(first.rglob("*.pyc"))


def test_the_bootstrap_runs_the_handler_under_the_runtime_client_with_its_settings(tmp_path):
    """As /bin/sh reads it: quotes and spaces in values and paths survive, and the layer stands behind the code."""
    folder = tmp_path / "my function"
    folder.mkdir()
    (folder / "app.py").write_text("")
    python = tmp_path / "a python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$PYTHONPATH" "$ODD" "$@" "$PWD"\n')
    python.chmod(0o755)

    artifact = function_artifact(
        folder, python=python, layer=Path("/the layer"), environment={"ODD": 'a "b" `c` \\d'}
    )

    task_root = tmp_path / "unpacked"
    with zipfile.ZipFile(io.BytesIO(artifact.content)) as archive:
        archive.extractall(task_root)
    said = subprocess.run(
        ["/bin/sh", task_root / "bootstrap"],
        env={"LAMBDA_TASK_ROOT": str(task_root), "_HANDLER": "app.handler"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split("|")[:-1] == [
        f"{task_root}:/the layer",
        'a "b" `c` \\d',
        "-m",
        "awslambdaric",
        "app.handler",
        str(task_root),
    ]


def test_the_same_code_is_the_same_artifact_and_other_code_another(tmp_path):
    """Redeploying an unchanged function is no update; a changed setting is one."""
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "app.py").write_text("pass")

    def build(**environment):
        return function_artifact(
            folder, python=Path("/python"), layer=Path("/layer"), environment=environment
        )

    assert build(A="1") == build(A="1")
    assert build(A="1").key != build(A="2").key
