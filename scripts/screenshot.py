"""A picture of a page, as headless Chromium shows it.

    python scripts/screenshot.py outputs/<name>/<run>/report.html report.png [--width 390] [--dark]

Chromium and its driver come from the system's packages, selenium from `pip install '.[dev]'`.
"""

import argparse
import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", help="a file or an address")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1500, help="0: the whole page")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--wait", type=float, default=0, help="seconds, for pages that load more")
    given = parser.parse_args()
    with chromium(given.width, given.height or 900, dark=given.dark) as browser:
        path = Path(given.page)
        browser.get(path.resolve().as_uri() if path.exists() else given.page)
        time.sleep(given.wait)
        script = "return document.documentElement.scrollHeight"
        height = given.height or browser.execute_script(script)
        take(browser, given.picture, given.width, height)


@contextmanager
def chromium(width: int, height: int, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser without a window; width, height: of the pages, in pixels."""
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"):
        options.add_argument(option)
    driver = Service(shutil.which("chromedriver"))  # else selenium would look for one online
    browser = webdriver.Chrome(options=options, service=driver)
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield browser
    finally:
        browser.quit()


def take(browser: webdriver.Chrome, path: Path, width: int, height: int) -> None:
    """The page's upper left, as PNG."""
    clip = {"x": 0, "y": 0, "scale": 1, "width": width, "height": height}
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    path.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
