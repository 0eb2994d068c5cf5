"""The report in headless Chromium, as a person opens it: from disk, on a desk and on a phone."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnnexp.reporting.confusion import confusion_matrix
from cnnexp.reporting.curves import learning_curves
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.run_report.report import write_report

pytestmark = pytest.mark.slow
LONG = "a_rather_long_name_of_a_class_without_any_place_to_break_it_" * 3
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that could be too wide: names, commands, tables, figures."""
    folder = tmp_path_factory.mktemp("a run's folder, ü") / "run"
    folder.mkdir()
    classes = [LONG, "<img src=http://example.com/x onerror=alert(1)>"]
    rows = [
        {"epoch": e, "train/loss": 1 / e, "val/loss": 1 / e, "val/accuracy": 0.5, "lr": 0.1}
        for e in (1, 2, 3)
    ]
    record = {"frozen": {"block1": "0"}, "best_epoch": 3, "history": rows,
              "test": {"test/accuracy": 0.5, "test/loss": 0.1}}  # fmt: skip
    info = {"name": LONG, "status": "FINISHED", "classes": classes, "phases": {"train": record},
            "environment": {"command": f"python -m cnnexp {LONG * 3}"}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "config.yaml").write_text(f"overrides: [name={LONG}]\nname: {LONG * 3}\n")
    (folder / "left_out.csv").write_text(f"path,reason\n{LONG * 2},empty file\n")
    (folder / "predictions.csv").write_text(
        f"path,index,label,prediction,p_{classes[0]},p_{classes[1]}\n"
        f"{LONG},0,{classes[0]},{classes[1]},0.2,0.8\n{LONG},1,{LONG},{LONG},0.9,0.1\n"
    )
    (folder / "splits.csv").write_text(
        "path,sha256,class,split\n" + "".join(f"p,0,{name},test\n" for name in classes)
    )
    columns = ["layer", "kind", *(f"column {i}" for i in range(20))]
    (folder / "anatomy.csv").write_text(f"{','.join(columns)}\n{','.join(['1000000'] * 22)}\n")
    wide = Figure(figsize=(24, 2))
    pictures = {
        "learning_curves": learning_curves(rows),
        "confusion_matrix": confusion_matrix([0, 1], [1, 1], classes),
        "wide": Picture(wide, LONG, LONG, "a wide figure", {"number": 1, "name": LONG}),
    }
    save_pictures(pictures, folder / "figures")
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)

    Image.fromarray(noise).save(folder / "figures" / "noise.png")
    return write_report(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium with chromedriver on this machine")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    wanted = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", wanted)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(browser: Any, page: Path, width: int, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("performance")
    browser.get(page.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_and_asks_for_nothing(browser: Any, page: Path, width: int, scheme: str) -> None:
    show(browser, page, width, scheme)
    for details in browser.find_elements("tag name", "details"):
        browser.execute_script("arguments[0].open = true", details)
    across, inside = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert across <= inside == width
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked
    assert [u for u in asked if not u.startswith("data:") and u != page.as_uri()] == []
    images = browser.execute_script(
        "return [...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 0])"
    )
    assert len(images) == 4
    assert all(alt and shown for alt, shown in images)
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}[scheme]
    assert page.stat().st_size < 10_000_000


def test_figures_follow_the_theme_and_paper_is_light(browser: Any, page: Path) -> None:
    """The ground of the learning curves' SVG, where nothing is drawn: its first pixel."""
    show(browser, page, 1200, "dark")
    assert corner(browser) < 60
    show(browser, page, 1200, "light")
    assert corner(browser) > 250
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    assert corner(browser) > 250
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [390, 1200])
def test_a_figure_that_is_clicked_fills_the_window(browser: Any, page: Path, width: int) -> None:
    show(browser, page, width)
    figure = browser.find_element("css selector", "figure:has(img[alt='a wide figure'])")
    plate, image = (figure.find_element("css selector", name) for name in (".plate", "img"))
    own = int(image.get_dom_attribute("width"))
    assert image.rect["width"] < own
    image.click()
    assert image.rect["width"] == own > width
    inside = browser.execute_script("return document.documentElement.clientWidth")
    assert (plate.rect["width"], plate.rect["height"]) == (inside, 800)
    figure.find_element("link text", "Back to the report").click()
    assert image.rect["width"] < own
    top = browser.execute_script("return arguments[0].getBoundingClientRect().top", image)
    assert 0 <= top < 800


def corner(browser: Any) -> int:
    image = browser.find_element("css selector", "img[alt^='Loss']")
    with Image.open(io.BytesIO(image.screenshot_as_png)) as shot:
        return int(max(shot.convert("RGB").getpixel((3, 3))))
