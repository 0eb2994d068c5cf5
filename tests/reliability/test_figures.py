"""docs/reliability.md: its figures are counted, and refused where a test failed or did not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "reliability_figures.py"
PAGE = """# A page
| promise | tried by | figures |
|---|---|---|
| One. | `tests/test_a.py` (*slow*) | |
| Two. | `tests/deep/`, `tests/deep/test_b.py` and `tests/test_a.py` | 7 tests |
"""
TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_it(n, record_property):
    record_property("kills", n)
    record_property("kills", 1000)

@pytest.mark.skip(reason="here not")
def test_other():
    pass
"""
DEEP = "def test_deep(): pass"
AFTER = {
    "One.": "2 tests; 2,003 kills; 1 skipped |",
    "Two.": "3 tests; 2,003 kills; 1 skipped |",
}


def figures(folder: Path, **files: str) -> tuple[int, str]:
    """The code and what was said, of tests that are really run."""
    (folder / "tests" / "deep").mkdir(parents=True)
    for name, text in files.items():
        (folder / "tests" / f"{name.replace('__', '/')}.py").write_text(text)
    (folder / "page.md").write_text(PAGE)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=it.xml"],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # none of them is needed
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, SCRIPT, "it.xml", "--page", "page.md"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_they_are_counted(tmp_path: Path) -> None:
    assert figures(tmp_path, test_a=TESTS, deep__test_b=DEEP) == (0, "")
    rows = (tmp_path / "page.md").read_text().splitlines()
    assert rows[:3] == PAGE.splitlines()[:3]
    assert [row.split(" | ")[2] for row in rows[3:]] == list(AFTER.values())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"test_a": TESTS}, "nothing of tests/deep ran"),
        (
            {"test_a": TESTS, "deep__test_b": "def test_deep(): assert 0"},
            "failed: tests.deep.test_b.test_deep",
        ),
    ],
)
def test_they_are_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    code, line = figures(tmp_path, **files)
    assert code == 1
    assert line == f"page.md is left as it is: {said}\n"
    assert (tmp_path / "page.md").read_text() == PAGE
