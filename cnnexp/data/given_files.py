"""Image files that a person names, as a run's network takes them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnexp.cores import usable_cores
from cnnexp.data.gate import read
from cnnexp.data.resize import fit


class GivenFiles(NamedTuple):
    """paths, pixels: of those that are images, (S, S, 3) uint8 each. left_out: the others, with the
    reason.
    """

    paths: list[Path]
    pixels: list[np.ndarray]
    left_out: list[tuple[Path, str]]


def read_files(paths: Sequence[Path], options: Mapping[str, Any]) -> GivenFiles:
    """On all cores. options: the run's `dataset`, whose image_size and resize count."""

    def pixels(path: Path) -> np.ndarray | str:
        try:
            image = read(path.read_bytes(), options["image_size"])
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if isinstance(image, str):
            return image
        return fit(image, options["image_size"], options["resize"])

    given = GivenFiles([], [], [])
    with ThreadPoolExecutor(usable_cores()) as pool:
        for path, found in zip(paths, pool.map(pixels, paths), strict=True):
            if isinstance(found, str):
                given.left_out.append((path, found))
            else:
                given.paths.append(path)
                given.pixels.append(found)
    return given
