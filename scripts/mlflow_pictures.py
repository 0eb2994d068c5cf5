"""The pictures of docs/mlflow.md: MLflow's pages of a sweep, as headless Chromium shows them.

    python scripts/mlflow_pictures.py mlflow.db <experiment> docs/images

Needs what scripts/screenshot.py needs. The server listens on 127.0.0.1 and ends with the script.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from screenshot import chromium
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WIDTH, HEIGHT = 1400, 860
PATIENCE = 60.0  # seconds until a page shows what it should
SHOWN = ("best/val/accuracy", "test/accuracy", "train_s")  # columns
HIDDEN = ("Dataset", "Source", "Model")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("database", type=Path, help="the store, mlflow.db")
    parser.add_argument("experiment", help="its name; the newest sweep in it is shown")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    given = parser.parse_args()
    store = f"sqlite:///{given.database.resolve()}"
    client = MlflowClient(store)
    found = client.get_experiment_by_name(given.experiment)
    if found is None:
        parser.error(f"{given.database} has no experiment {given.experiment}")
    runs = client.search_runs([found.experiment_id], order_by=["metrics.`best/val/accuracy` DESC"])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    if not children:
        parser.error(f"{given.experiment} has no sweep")
    given.folder.mkdir(parents=True, exist_ok=True)
    with served(store) as address, chromium(WIDTH, HEIGHT) as browser:
        pages = Pages(browser, f"{address}/#/", given.folder)
        runs_page = f"experiments/{found.experiment_id}/runs"
        best = f"orderByKey={quote('metrics.`best/val/accuracy`')}&orderByAsc=false"
        name, run = children[0].info.run_name, children[0].info.run_id
        pages.open(runs_page, best, text=name)
        pages.click('[data-component-id="mlflow.assistant.chat_panel.close"]')
        for column in (*HIDDEN, *SHOWN):
            pages.switch_column(column)
        pages.save("mlflow_runs")
        pages.open(runs_page, best, "compareRunsMode=CHART", text="best/val/accuracy")
        pages.type('input[placeholder="Search metric charts"]', "accuracy$")
        pages.save("mlflow_charts")
        ids = quote(json.dumps([run.info.run_id for run in children]))
        of = quote(json.dumps([found.experiment_id]))
        pages.open(
            "compare-runs", f"runs={ids}", f"experiments={of}", text="Parallel Coordinates Plot"
        )
        pages.choose_metric("best/val/accuracy")
        pages.save("mlflow_compare")
        pages.open(f"{runs_page}/{run}/artifacts/report.html", text="predictions.csv")
        pages.save("mlflow_run")


@contextmanager
def served(store: str) -> Iterator[str]:
    """MLflow's server for the store; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", store], stdout=log, stderr=subprocess.STDOUT
        )
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: answers(f"{address}/health"), "MLflow's server")
            yield address
        finally:
            server.terminate()
            server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def wait_for(there: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > until:
            sys.exit(f"{what}: not there after {PATIENCE:.0f} s")
        time.sleep(0.25)


class Pages:
    """MLflow's pages, and the pictures of them in a folder."""

    def __init__(self, browser: webdriver.Chrome, address: str, folder: Path) -> None:
        self.browser, self.address, self.folder = browser, address, folder

    def open(self, page: str, *settings: str, text: str) -> None:
        """Until the page shows the text, and what is drawn stands still."""
        self.browser.get("about:blank")
        given = "&".join([*settings, "workflowType=machine_learning"])
        self.browser.get(f"{self.address}{page}?{given}")
        wait_for(lambda: text in self.browser.page_source, f"{page} with '{text}'")
        time.sleep(8)

    def click(self, selector: str, text: str = "") -> None:
        """The first such element that has the text."""
        for element in self.browser.find_elements(By.CSS_SELECTOR, selector):
            if text in (element.text or ""):
                self.browser.execute_script("arguments[0].click()", element)
                time.sleep(1)
                return
        sys.exit(f"{self.browser.current_url}: there is no {selector} {text}")

    def type(self, selector: str, text: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, selector).send_keys(text)
        time.sleep(4)

    def switch_column(self, name: str) -> None:
        """In the table of runs."""
        self.click("button", "Columns")
        self.browser.switch_to.active_element.send_keys(name)
        time.sleep(1)
        self.click(".du-bois-light-tree-title", name)
        self.click("button", "Columns")

    def choose_metric(self, name: str) -> None:
        """Of the parallel coordinates, in place of the one that MLflow chose."""
        box = self.browser.find_elements(By.CSS_SELECTOR, "input[role=combobox]")[-1]
        box.send_keys(Keys.BACK_SPACE, name)
        time.sleep(1)
        box.send_keys(Keys.ENTER, Keys.ESCAPE)
        time.sleep(4)

    def save(self, stem: str) -> None:
        self.browser.save_screenshot(str(self.folder / f"{stem}.png"))


if __name__ == "__main__":
    main()
