"""The examples of docs/developing/extending.md, as they stand there, in a folder of their own."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "developing" / "extending.md"
# The page's blocks that say which file they are, in a comment or in the line before them.
BLOCK = re.compile(
    r"(?:`mine/(\S+?)`[^\n]*\n\n```yaml\n|^```(?:python|yaml)\n# mine/(\S+)\n)(.*?)^```",
    re.DOTALL | re.MULTILINE,
)
FILES = {above or inside: text for above, inside, text in BLOCK.findall(PAGE.read_text())} | {
    "bare.py": "from matplotlib.figure import Figure\n\n"
    "def bare(probe) -> dict[str, Figure]:\n    return {'bare': Figure()}\n",
    "visualization/bare.yaml": "# @package visualization.bare\n# No words.\n_target_: bare.bare\n",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder
