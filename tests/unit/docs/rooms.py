"""The picture of the packages in docs/architecture.md, from the layers in pyproject.toml and from the imports.

`python tests/unit/docs/rooms.py` writes it.
"""

import tomllib
from pathlib import Path
from typing import Final

import grimp

__all__ = ["PAGE", "picture", "with_picture"]

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: python tests/unit/docs/rooms.py -->\n", "<!-- end of the picture -->\n"


def picture() -> str:
    """Return a Mermaid diagram: one row for each layer, and an arrow from each package to what it imports.

    An arrow that other arrows already imply is left out, and so are those to the root, which every package imports.
    """
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [
        [name.strip() for name in layer.split("|")]
        for layer in next(one["layers"] for one in contracts if one["type"] == "layers")
    ]
    graph = grimp.build_graph("mwaa_gateway")
    packages = [
        name
        for layer in layers
        for name in layer
        if any(module.startswith(f"mwaa_gateway.{name}.") for module in graph.modules)
    ]
    imports = {
        package: {
            other
            for other in packages
            if other != package
            and graph.direct_import_exists(
                importer=f"mwaa_gateway.{package}", imported=f"mwaa_gateway.{other}", as_packages=True
            )
        }
        for package in packages
    }
    arrows = [
        (package, other)
        for package in packages
        for other in sorted(imports[package], key=packages.index)
        if not any(other in _reached(between, imports) for between in imports[package] - {other})
    ]
    root = [name for layer in layers for name in layer if name not in packages]
    return "\n".join(
        [
            "```mermaid",
            "flowchart TD",
            *(f"    {package} --> {other}" for package, other in arrows),
            f'    root["root: {", ".join(sorted(root))}"]',
            *(f"    {package} --> root" for package in packages if not imports[package]),
            "```",
            "",
        ]
    )


def with_picture(text: str) -> str:
    """Return the page with the picture as it is now."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + picture() + END + rest.split(END)[1]


def _reached(package: str, imports: dict[str, set[str]]) -> set[str]:
    return imports[package] | {far for near in imports[package] for far in _reached(near, imports)}


if __name__ == "__main__":
    PAGE.write_text(with_picture(PAGE.read_text()))
