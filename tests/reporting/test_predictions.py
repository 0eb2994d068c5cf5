"""predictions.csv as it was written, with few classes and with many."""

from pathlib import Path

import numpy as np
import pytest

from cnnexp.errors import InputError
from cnnexp.reporting.predictions import Predictions, read_predictions, write_predictions

PATHS = ["a.png", 'a\n"b", c.png', "null"]
LABELS = np.array([2, 0, 1])


def written(path: Path, classes: list[str], labels: np.ndarray | None = LABELS) -> np.ndarray:
    """Returns the probabilities: the second class is the most probable one of each image."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(len(classes)), size=3).astype(np.float32)
    shares[:, 1] += 1
    shares /= shares.sum(1, keepdims=True)
    write_predictions(
        path, classes=classes, paths=PATHS, indices=np.arange(3), probabilities=shares,
        labels=labels,
    )  # fmt: skip
    return shares


@pytest.mark.parametrize("classes", [["0", "1e3", "null"], [f"class {i}" for i in range(300)]])
def test_read_as_written(tmp_path: Path, classes: list[str]) -> None:
    shares = written(tmp_path / "predictions.csv", classes)
    found = read_predictions(tmp_path / "predictions.csv", classes)
    assert found.paths == PATHS
    assert found.labels == [classes[label] for label in LABELS]
    assert found.predictions == [classes[1]] * 3
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, shares, rtol=1e-5)


def test_a_column_for_each_of_few_classes(tmp_path: Path) -> None:
    written(tmp_path / "few.csv", ["cat", "dog", "p"], labels=None)
    header = (tmp_path / "few.csv").read_text().splitlines()[0]
    assert header == "path,index,prediction,p_cat,p_dog,p_p"
    assert read_predictions(tmp_path / "few.csv", ["cat", "dog", "p"]).labels == [""] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["few.csv"]


def test_a_file_beside_for_many_classes(tmp_path: Path) -> None:
    classes = [f"class {i}" for i in range(300)]
    shares = written(tmp_path / "many.csv", classes)
    first = (tmp_path / "many.csv").read_text().splitlines()[:2]
    assert first == [
        "path,index,label,prediction,probability",
        f"a.png,0,class 2,class 1,{shares[0, 1]:.6g}",
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "many.npy"), shares)
    (tmp_path / "many.npy").unlink()
    with pytest.raises(InputError, match=r"many\.npy"):
        read_predictions(tmp_path / "many.csv", classes)


@pytest.mark.parametrize(
    ("old", "new"),
    [("p_dog", "p_pig"), ("prediction", "said"), ("path", "place"), (",0.", ",nan+")],
)
def test_other_columns_are_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "predictions.csv"
    written(path, ["cat", "dog", "x"])
    assert isinstance(read_predictions(path, ["cat", "dog", "x"]), Predictions)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"predictions\.csv cannot be read \(."):
        read_predictions(path, ["cat", "dog", "x"])
