"""predictions.csv: what a network answered, an image a row."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnexp.errors import InputError
from cnnexp.files import whole_file

MOST_CLASSES = 256  # that have a column, or a figure of merit, of their own


class Predictions(NamedTuple):
    """Of N images. labels: N class names, "" where not known. predictions: N class names.
    probabilities: (N, K) float32.
    """

    paths: list[str]
    labels: list[str]
    predictions: list[str]
    probabilities: np.ndarray


def write_predictions(
    path: Path,
    *,
    classes: Sequence[str],
    paths: Sequence[str],
    indices: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray | None,
) -> None:
    """CSV: path, index, label (where known), prediction, and p_<class> for each class.

    With more than 256 classes one `probability`, the prediction's, and all of them in a file beside
    it, of that name and with .npy: (N, K) float32, rows as in the CSV.

    probabilities: (N, K); indices: (N,), the images' places in the data set.
    """
    best = probabilities.argmax(1)
    header = ["path", "index", *(["label"] if labels is not None else []), "prediction"]
    if len(classes) > MOST_CLASSES:
        with whole_file(path.with_suffix(".npy"), "wb") as file:
            np.save(file, probabilities.astype(np.float32, copy=False))
        shown = np.take_along_axis(probabilities, best[:, None], axis=1)
        header += ["probability"]
    else:
        shown = probabilities
        header += [f"p_{name}" for name in classes]
    with whole_file(path) as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header)
        for row, index in enumerate(indices):
            label = [classes[labels[row]]] if labels is not None else []
            shares = [f"{p:.6g}" for p in shown[row]]
            out.writerow([paths[row], int(index), *label, classes[best[row]], *shares])


def read_predictions(path: Path, classes: Sequence[str]) -> Predictions:
    """Raises InputError where it is not one for these classes."""
    try:
        return _read(path, classes)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())})") from None


def _read(path: Path, classes: Sequence[str]) -> Predictions:
    import pyarrow as pa
    from pyarrow import csv as fast

    texts = ("path", "label", "prediction")
    many = len(classes) > MOST_CLASSES
    numbers = [] if many else [f"p_{name}" for name in classes]
    options = fast.ConvertOptions(
        include_columns=[*texts, *numbers],
        include_missing_columns=True,  # of a photograph that is not of a data set no label is known
        strings_can_be_null=False,
        column_types=dict.fromkeys(texts, pa.string()) | dict.fromkeys(numbers, pa.float32()),
    )
    lines = fast.ParseOptions(newlines_in_values=True)  # a file's name may hold one
    content = io.BytesIO(path.read_bytes())
    table = fast.read_csv(content, parse_options=lines, convert_options=options)
    if many:
        shares = np.load(path.with_suffix(".npy"), mmap_mode="r")
    else:
        shares = np.stack([table[name].to_numpy() for name in numbers], axis=1)
    paths, labels, said = (table[name].to_pylist() for name in texts)
    there = None not in (*paths[:1], *said[:1])  # a column that is not there is all None
    if not there or shares.shape != (len(paths), len(classes)) or not np.isfinite(shares).all():
        raise ValueError("it has other columns, images or classes")
    return Predictions(paths, [label or "" for label in labels], said, shares)
