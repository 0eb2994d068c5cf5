"""What all runs were tested on, and what each said: read one run at a time, little is kept."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from cnnexp.ancestry import read_before
from cnnexp.errors import InputError, one_line

Key = tuple[str, str]  # sha256 and class of an image


class Split(NamedTuple):
    """Of one run. test: path -> key. learned: sha256 of all that is in other splits, and of what
    the runs before it have learned from. train: how many images the training split has. groups:
    key -> the group that it belongs to; empty where none do.
    """

    test: dict[str, Key]
    learned: frozenset[str]
    train: int
    groups: dict[Key, str]


class Answers(NamedTuple):
    """N common test images and what R runs said of them.

    paths: N, of the first run. labels: (N,) and predictions: (N, R), int16 class numbers.
    tested: (R,), how many images each run was tested on. learned: of those, how many are left out
    because some run has learned from them. train: (R,), how many images each run trained on.
    clusters: (N,) names of the groups that they belong to; None: each is of another.
    """

    keys: list[Key]
    paths: list[str]
    labels: np.ndarray
    predictions: np.ndarray
    tested: np.ndarray
    learned: int
    train: np.ndarray
    clusters: np.ndarray | None

    @property
    def right(self) -> np.ndarray:
        """(N, R) bool."""
        return self.predictions == self.labels[:, None]


class SplitFiles:
    """Of runs; files with the same content are read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Split] = {}

    def read(self, folder: Path) -> Split:
        """Raises InputError."""
        path = folder / "splits.csv"
        try:
            content, before = path.read_bytes(), read_before(folder)
            # Of 64 bits, and five times as fast as blake2.
            digest = (len(content), hash((content, before)))
            if digest not in self._known:
                self._known[digest] = _split(content, before)
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            problem = one_line(error)
            raise InputError(
                f"{path} cannot be read ({problem}); without it nobody knows what the run learned "
                "from"
            ) from None
        return self._known[digest]


def common_test_images(folders: Sequence[Path]) -> list[Key]:
    """(sha256, class) of the images that are in all runs' test splits and that none has learned
    from, in the first run's order, copies once. Raises InputError where there is none.
    """
    files = SplitFiles()
    return _common([files.read(folder) for folder in folders])


def read_answers(folders: Sequence[Path], classes: Sequence[str]) -> Answers:
    """Raises InputError where no image is common, or a file is broken."""
    files = SplitFiles()
    splits = [files.read(folder) for folder in folders]
    common = _common(splits)
    learned = frozenset().union(*{id(s): s.learned for s in splits}.values())
    place = {key: i for i, key in enumerate(common)}
    predictions = np.full((len(common), len(folders)), -1, dtype=np.int16)
    tested = np.zeros(len(folders), dtype=np.int64)
    paths = [""] * len(common)
    former: tuple[Split, pa.ChunkedArray, np.ndarray] | None = None
    for number, (folder, split) in enumerate(zip(folders, splits, strict=True)):
        said, codes = read_numbers(folder, classes)
        if former is None or former[0] is not split or not former[1].equals(said):
            rows = [place.get(split.test.get(path, ("", "")), -1) for path in said.to_pylist()]
            former = (split, said, np.array(rows, dtype=np.int64))
        rows_of = former[2]
        predictions[rows_of[rows_of >= 0], number] = codes[rows_of >= 0]
        tested[number] = len(codes)
        if number == 0:
            for row, path in zip(rows_of.tolist(), said.to_pylist(), strict=True):
                paths[row] = path if row >= 0 else paths[row]
    there = (predictions >= 0).all(1)
    if not there.any():
        raise InputError("runs: their predictions.csv have no test image in common; test them anew")
    number_of = {name: i for i, name in enumerate(classes)}
    labels = np.array([number_of[name] for _, name in common], dtype=np.int16)
    kept = np.flatnonzero(there)
    return Answers(
        [common[i] for i in kept], [paths[i] for i in kept], labels[kept], predictions[kept],
        tested, sum(sha in learned for sha, _ in set(splits[0].test.values())),
        np.array([split.train for split in splits]), _clusters(splits, [common[i] for i in kept]),
    )  # fmt: skip


def _clusters(splits: Sequence[Split], keys: Sequence[Key]) -> np.ndarray | None:
    """As the first run that knows of groups has them; other images are each of their own."""
    known = next((split.groups for split in splits if split.groups), {})
    own = [known.get(key) or " ".join(key) for key in keys]
    return np.array(own) if len(set(own)) < len(own) else None


def read_numbers(folder: Path, classes: Sequence[str]) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Paths, and the predicted classes' numbers (N,) int16, of a run's predictions.csv."""
    path = folder / "predictions.csv"
    try:
        table = _columns(path.read_bytes(), ["path", "prediction"])
        said = table["prediction"].combine_chunks().dictionary_encode()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        problem = one_line(error)
        raise InputError(f"{path} cannot be read ({problem}); test the run again") from None
    number_of = {name: i for i, name in enumerate(classes)}
    numbers = np.array([number_of.get(name, -1) for name in said.dictionary.to_pylist()], np.int16)
    if not len(numbers) or (numbers < 0).any():
        raise InputError(f"{path}: it names classes that run.json does not; test the run again")
    places = said.indices.buffers()[1]  # to_numpy would import pandas
    return table["path"], numbers[np.frombuffer(places, np.int32, len(said))]


_PARSE = csv.ParseOptions(newlines_in_values=True)  # a file's name may hold one


def _columns(content: bytes, names: Sequence[str]) -> pa.Table:
    """As text: a class may be called 3."""
    options = csv.ConvertOptions(
        include_columns=list(names), column_types=dict.fromkeys(names, pa.string())
    )
    return csv.read_csv(io.BytesIO(content), parse_options=_PARSE, convert_options=options)


def _split(content: bytes, before: frozenset[str]) -> Split:
    names = ["path", "sha256", "class", "split"]
    grouped = content.partition(b"\n")[0].rstrip().endswith(b",group")
    table = _columns(content, [*names, *["group"] * grouped])
    test, learned, train = {}, [], 0
    for path, sha, own, split in zip(*(table[name].to_pylist() for name in names), strict=True):
        if split == "test":
            test[path] = (sha, own)
        else:
            learned.append(sha)
            train += split == "train"
    keys = zip(table["sha256"].to_pylist(), table["class"].to_pylist(), strict=True)
    groups = dict(zip(keys, table["group"].to_pylist(), strict=True)) if grouped else {}
    return Split(test, before.union(learned), train, groups)


def _common(splits: Sequence[Split]) -> list[Key]:
    distinct = list({id(split): split for split in splits}.values())
    learned = frozenset().union(*(split.learned for split in distinct))
    tests = [dict.fromkeys(split.test.values()) for split in distinct]
    common = [key for key in tests[0] if key[0] not in learned and all(key in t for t in tests)]
    if not common:
        sizes = " and ".join(f"{size:,}" for size in sorted({len(test) for test in tests}))
        shared = any(all(key in test for test in tests) for key in tests[0])
        why = (
            "of the test images that they share each was learned from by one of them"
            if shared
            else f"their test splits, of {sizes} images, share none"
        )
        raise InputError(f"runs: {why}; give runs with the same data and dataset.split_seed")
    return common


def count_splits(folder: Path) -> dict[str, int]:
    """split -> its images. Raises OSError, KeyError or ArrowInvalid where splits.csv is not so."""
    table = _columns((folder / "splits.csv").read_bytes(), ["split"])
    return dict(Counter(table["split"].to_pylist()))
