"""docs/architecture.md says what the code is."""

import re
import runpy
from pathlib import Path

from mwaa_gateway.patterns import RuleIndex, compile_pattern

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "layers" / "gateway" / "python" / "mwaa_gateway"
PAGE = ROOT / "docs" / "architecture.md"


def test_the_picture_of_the_packages_is_up_to_date() -> None:
    """Drawn from the layers and the imports; `python tests/unit/docs/rooms.py` writes it."""
    rooms = runpy.run_path(str(Path(__file__).with_name("rooms.py")))
    assert rooms["with_picture"](PAGE.read_text()) == PAGE.read_text()


def test_every_package_has_its_line() -> None:
    """In the table under the picture."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| \[`(\w+)`\]", PAGE.read_text(), re.MULTILINE))


def test_the_readme_of_the_pattern_language_runs() -> None:
    """Its example is executed as it stands."""
    code = re.search(r"```python\n(.*?)```", (PACKAGE / "patterns" / "README.md").read_text(), re.DOTALL)
    assert code is not None
    exec(code[1], {"RuleIndex": RuleIndex, "compile_pattern": compile_pattern})  # noqa: S102  our own page
