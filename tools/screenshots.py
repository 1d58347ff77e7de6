"""The pictures of pages in docs/images: each page as a desktop and as a phone shows it, light and dark.

    python tools/screenshots.py run=results/X/report.html study=results/Y/report.html tasks=two.html

writes NAME.png (1280 wide, light) and NAME_phone.png (390 wide, dark) for each NAME=PAGE into docs/images. It takes
Playwright and a Chromium, and Pillow, which Matplotlib brings. A picture has 256 colours, so that it stays small.
"""

from __future__ import annotations

import io
import math
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
COLOURS = 256
LARGEST = 150_000
"""Bytes that a picture may have."""
SHAPES = {
    # suffix: (width, height, pixels of a page's pixel, theme)
    "": (1280, 1060, 1, "light"),
    "_phone": (390, 844, 1.5, "dark"),
}


def shoot(browser: Browser, page: Path, width: int, height: int, density: float, theme: str) -> bytes:
    """The first screen of a page as a PNG with few colours."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=density,
        color_scheme="dark" if theme == "dark" else "light",
    )
    tab = context.new_page()
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    cells = tab.locator("#grids [data-value]")
    if width > height and tab.locator("#grids [role=grid]").count() == 1:  # its panel shows the largest cell
        values = [float(value) for value in cells.evaluate_all("all => all.map(e => e.dataset.value)")]
        cells.nth(values.index(max(value for value in values if math.isfinite(value)))).click()
        tab.mouse.move(0, 0)
    seen = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    context.close()
    out = io.BytesIO()
    few = seen.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


def main(words: list[str]) -> int:
    """NAME=PAGE... to pictures; 1 for one that is too large."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    code = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for word in words:
            name, _, page = word.partition("=")
            for suffix, shape in SHAPES.items():
                data = shoot(browser, Path(page), *shape)
                path = IMAGES / f"{name}{suffix}.png"
                path.write_bytes(data)
                print(f"{path}  {len(data):,} bytes")
                code |= len(data) > LARGEST
        browser.close()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
