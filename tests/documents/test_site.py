"""`make docs`: the site is built without a warning, and the notebooks on it run."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def build(folder: Path, *words: str) -> Path:
    site = folder / "site"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", *words,
         "--doctree-dir", str(folder / "doctrees"), str(DOCS), str(site)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return site


def test_the_site(tmp_path: Path) -> None:
    site = build(tmp_path, "-D", "nb_execution_mode=off")
    assert "searchindex.js" in {path.name for path in site.iterdir()}
    model = (site / "reference" / "model.html").read_text()
    assert "pre_activation" in model, "a key of residual.yaml"
    assert "-&gt; whiten -&gt; block1" in model, "of the docstring of model=fast"
    # Nothing is fetched from elsewhere: the site works from files, without a network.
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert 'src="http' not in text, page
        assert 'stylesheet" href="http' not in text, page


def test_the_notebooks(tmp_path: Path) -> None:
    site = build(tmp_path)
    inside = (site / "notebooks" / "looking_inside.html").read_text()
    assert "a random place would in" in inside
    assert inside.count("<img") == 2
    first = (site / "notebooks" / "first_experiment.html").read_text()
    assert "test/accuracy_low" in first
    assert "unknown key; did you mean" in first
