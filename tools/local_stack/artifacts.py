"""What `sam build` makes in AWS: a zip per function and per layer, named by its contents."""

import hashlib
import io
import shlex
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Artifact", "function_artifact", "layer_artifact", "tree_digest"]

# Zip has no time zone and starts in 1980; one fixed time keeps a zip's bytes, and so its name, the same.
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_NOT_SHIPPED = ("__pycache__", ".pyc")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A zip and the object key it is stored under; another content is another key, so an update is seen."""

    key: str
    content: bytes


def function_artifact(
    folder: Path, *, python: Path, gateway_layer: Path, state_folder: Path, environment: Mapping[str, str]
) -> Artifact:
    """The code of one function with a `bootstrap` that runs it under Lambda's own runtime client.

    `python` is an environment that holds what a Lambda sandbox has and no more, `gateway_layer` stands for /opt/python,
    and `environment` is exported to the function on top of what the template gives it.
    """
    settings = dict(environment) | {
        "PYTHONPATH": f"$LAMBDA_TASK_ROOT:{gateway_layer}",
        # /opt is read-only in Lambda; here it is the working tree, which stays clean.
        "PYTHONPYCACHEPREFIX": str(state_folder / "pycache"),
    }
    bootstrap = "\n".join(
        [
            "#!/bin/sh",
            # A change in the layer must be a change of the function too, or a redeploy leaves its sandboxes as they are.
            f"# layer {tree_digest(gateway_layer)}",
            *(f"export {name}={_double_quoted(text)}" for name, text in sorted(settings.items())),
            'cd "$LAMBDA_TASK_ROOT" || exit 1',
            f'exec {shlex.quote(str(python))} -m awslambdaric "$_HANDLER"',
            "",
        ]
    )
    return _zip(f"functions/{folder.name}", _files(folder) | {"bootstrap": bootstrap.encode()})


def layer_artifact(folder: Path) -> Artifact:
    """The contents of a layer's folder."""
    return _zip(f"layers/{folder.name}", _files(folder))


def tree_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of everything that ships from `folder`."""
    digest = hashlib.sha256()
    for name, content in _files(folder).items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise FileNotFoundError(f"the template wants to ship {folder}, which is not a folder")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.endswith(_NOT_SHIPPED) for part in path.parts)
    }


def _zip(name: str, files: Mapping[str, bytes]) -> Artifact:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, _FIXED_TIME)
            entry.external_attr = (stat.S_IFREG | (0o755 if path == "bootstrap" else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    content = buffer.getvalue()
    return Artifact(f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.zip", content)


def _double_quoted(text: str) -> str:
    """For sh, with `$` left alive: one value names $LAMBDA_TASK_ROOT."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
