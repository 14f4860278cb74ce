"""Version 0.1.0 as it was released: what an upgrade starts from."""

import tarfile
from pathlib import Path
from typing import Final

__all__ = ["RELEASED", "unpack_release"]

RELEASED: Final = Path(__file__).parent / "fixtures" / "v0.1.0" / "source.tar.gz"


def unpack_release(folder: Path) -> Path:
    """Unpack its template, functions and layers into a folder, and return its template.yaml."""
    with tarfile.open(RELEASED) as archive:
        archive.extractall(folder, filter="data")
    return folder / "template.yaml"
