"""Links lead somewhere, pictures are there, and what an error is said to be is what it says."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name != "reference"]  # made when the site is
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
IGNORED = ("http://", "https://", "#", "reference/", "../reference/")


def test_links_lead_somewhere() -> None:
    lost = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in LINK.findall(text):
            if not target.startswith(IGNORED):
                path = page.parent / unquote(target.partition("#")[0])
                lost += [] if path.exists() else [f"{page.relative_to(ROOT)}: {target}"]
    assert lost == []


def test_each_page_is_in_the_site() -> None:
    named = set(re.findall(r"^([\w/]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
        if "reference" not in path.parts
    }
    assert pages - {"index"} == named - {"reference/index"}


def test_each_picture_is_shown() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if target.endswith((".png", ".svg"))
    }
    kept = {path for path in (DOCS / "images").rglob("*.*") if path.suffix in (".png", ".svg")}
    assert kept - shown == set()


PATH = re.compile(r"`((?:cnnexp|configs|tests|benchmarks|scripts|docs|slurm|docker)/[\w/.]*)`")


def test_files_that_are_named_are_there() -> None:
    named = {(page, path) for page in PAGES for path in PATH.findall(page.read_text())}
    assert len(named) > 30
    assert [(page.name, path) for page, path in named if not (ROOT / path).exists()] == []


HEADINGS = re.findall(r"^## .*`.*$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("heading", HEADINGS)
def test_an_error_is_one_that_the_code_has(heading: str) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "cnnexp").rglob("*.py"))
    text = re.sub(r'"\s*\n\s*f?"', "", code)  # literals that follow one another are one text
    for said in re.findall(r"`([^`]+)`", heading):
        parts = [re.escape(part) for part in said.split("…")]
        assert re.search(r"[^\n]{0,400}?".join(parts), text), said


def test_there_are_such_headings() -> None:
    assert len(HEADINGS) > 8


def test_scripts_make_the_pictures() -> None:
    made = {
        name
        for script in Path(ROOT / "scripts").glob("handbook_*.py")
        for name in re.findall(r'^    "(\w+\.(?:png|svg))":', script.read_text(), re.MULTILINE)
    }
    assert made == {path.name for path in (DOCS / "images" / "handbook").iterdir()}
