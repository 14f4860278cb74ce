"""Takes the pictures of docs/console.md; look at each afterwards: .venv/bin/pytest tests/local_parts/console_pictures.py."""

import shutil
import subprocess
from pathlib import Path

from playwright.sync_api import expect

from integration.console_scene import Scene, fill, scene
from integration.operated import operated
from local_parts.browsing import browser, console

__all__ = ["operated", "scene"]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
LIGHT = {
    "find": "/find?q=s3://acme/Orders/1.csv",
    "now": "/now",
    "trouble": "/trouble",
    "review": "/trouble",
    "rules": "/rules?lately",
    "feeds": "/feeds",
}
DARK = {"now-dark": "/now"}


def test_pictures(scene: Scene) -> None:
    """Run it where pngquant is installed: it makes the files a third as large."""
    fill(scene, minutes=170)
    for scheme, views in (("light", LIGHT), ("dark", DARK)):
        with browser() as opened, console(opened, scene, operate=True) as url:
            page = opened.new_page(viewport={"width": 1180, "height": 640}, color_scheme=scheme)
            page.goto(url)
            for name, path in views.items():
                page.goto(url.partition("/?")[0] + path)
                expect(page.locator("[aria-busy=true]")).to_have_count(0)
                if name == "review":
                    boxes = page.get_by_role("region", name="Dead requests").get_by_role("checkbox")
                    boxes.nth(1).check()
                    boxes.nth(2).check()
                    page.get_by_role("button", name="Redrive").click()
                    expect(page.locator("[aria-busy=true]")).to_have_count(0)
                if name == "feeds":
                    page.get_by_role("button", name="Count all").click()
                    expect(page.get_by_role("progressbar")).to_have_count(3)
                file = FOLDER / f"console-{name}.png"
                page.screenshot(path=file, full_page=True)
                if quantise := shutil.which("pngquant"):
                    subprocess.run([quantise, "--force", "--ext", ".png", "64", file], check=True)
