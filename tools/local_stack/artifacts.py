"""What `sam build` makes in AWS: a zip per function and per layer, named by its contents."""

import hashlib
import io
import shlex
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Zip has no time zone and starts in 1980; one fixed time keeps a zip's bytes, and so its name, the same.
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_NOT_SHIPPED = ("__pycache__", ".pyc")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A zip and its object key, which depends on the content, so that an update is recognised."""

    key: str
    content: bytes


def function_artifact(folder: Path, *, python: Path, layer: Path, environment: Mapping[str, str]) -> Artifact:
    """The code of one function with a `bootstrap` that runs it under Lambda's own runtime client.

    `python` is of an environment that holds what a Lambda sandbox has and no more, `layer` stands for
    /opt/python, and `environment` is exported to the function on top of what the template gives it.
    """
    settings = dict(environment) | {"PYTHONPATH": f"$LAMBDA_TASK_ROOT:{layer}"}
    bootstrap = "\n".join(
        [
            "#!/bin/sh",
            *(f"export {name}={_double_quoted(text)}" for name, text in sorted(settings.items())),
            'cd "$LAMBDA_TASK_ROOT" || exit 1',
            f'exec {shlex.quote(str(python))} -m awslambdaric "$_HANDLER"',
            "",
        ]
    )
    return _zip(f"functions/{folder.name}", _files(folder) | {"bootstrap": bootstrap.encode()})


def unpacked_layer(folder: Path, target: Path) -> Path:
    """A copy of a layer's folder below `target`, as it is now, for the functions to import from.

    It is named by its contents: an edit in the working tree reaches the functions with the next deployment,
    not in the middle of an event, and makes the functions themselves new, so that their sandboxes start again.
    """
    files = _files(folder)
    copy = target / _digest(files)[:16]
    if not copy.exists():
        unfinished = copy.with_suffix(".new")
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        unfinished.rename(copy)
    return copy


def layer_artifact(folder: Path) -> Artifact:
    """The contents of a layer's folder."""
    return _zip(f"layers/{folder.name}", _files(folder))


def _digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for name, content in files.items():
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
    """Quote a value for sh, but keep `$` active: one value contains $LAMBDA_TASK_ROOT."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
