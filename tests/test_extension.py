"""The examples of docs/developing/extending.md, as they stand there, in a folder of their own."""

import re
from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError

PAGE = Path(__file__).parents[1] / "docs" / "developing" / "extending.md"
# The page's blocks that say which file they are: `# mine/model/dense.yaml`.
BLOCK = re.compile(r"^```(?:python|yaml)\n# mine/(\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = dict(BLOCK.findall(PAGE.read_text())) | {
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


OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


def test_all_four_together(mine: Path) -> None:
    result = cnnexp.run(OVERRIDES, config_dir=str(mine))
    assert result.metrics["test/accuracy"] == 1.0
    assert (result.folder / "figures" / "class_means.png").stat().st_size > 1000
    assert result.network.stem.out_channels == 24
    report = (result.folder / "report.html").read_text()
    assert "needs no convolutions" in report
    assert "The mean image of each of 2 classes." in report


def test_a_picture_has_words(mine: Path) -> None:
    said = r"visualization\.bare: 'bare' is a Figure.*cnnexp\.reporting\.picture\.Picture"
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES[:3], "visualization=[bare]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_their_annotations_are_checked(mine: Path) -> None:
    with pytest.raises(InputError, match=r"model\.growth=0"):
        cnnexp.run([*OVERRIDES, "model.growth=0"], config_dir=str(mine))
    with pytest.raises(InputError, match=r"share"):
        cnnexp.run([*OVERRIDES, "augmentation.shair=0.2"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_was_not_named_is_not_imported(mine: Path) -> None:
    with pytest.raises(InputError, match="model"):
        cnnexp.run(["model=dense"])
