"""A small dataset in memory, and the way from it to an ImageSet."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnexp.data.image_set import ImageSet
from cnnexp.data.prepare import prepare
from cnnexp.datasets.source import Source

Contents = Mapping[str, bytes | np.ndarray | OSError]


class Shelf:
    """A small dataset in memory; counts what is read."""

    def __init__(self, contents: Contents) -> None:
        self.paths = list(contents)
        self.contents = list(contents.values())
        self.classes = tuple(sorted({path.split("/")[0] for path in contents}))
        self.given: dict[str, str] | None = None
        self.reads: list[str] = []

    def read(self, i: int) -> bytes | np.ndarray:
        self.reads.append(self.paths[i])
        content = self.contents[i]
        if isinstance(content, OSError):
            raise content
        return content

    def source(self, fingerprint: str = "1", masks: np.ndarray | None = None) -> Source:
        labels = [self.classes.index(path.split("/")[0]) for path in self.paths]
        given = None
        if self.given is not None:
            given = np.array([self.given.get(path, "") for path in self.paths])
        return Source(
            "shelf",
            self.classes,
            self.paths,
            np.array(labels),
            self.read,
            fingerprint,
            given,
            masks,
        )


def png(value: int, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, 100, 255 - value)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shelf() -> Callable[..., Shelf]:
    """contents: path -> file; without it cats 0 to 7 and dogs 100 to 107, their red channel."""

    def make(contents: Contents | None = None, count: int = 8) -> Shelf:
        if contents is None:
            cats = {f"cat/{i}": png(i) for i in range(count)}
            contents = cats | {f"dog/{i}": png(100 + i) for i in range(count)}
        return Shelf(contents)

    return make


@pytest.fixture
def prepared() -> Callable[..., ImageSet]:
    """Source, cache and any options of `prepare` -> ImageSet of 8x8 pixels, split 1/2, 1/4, 1/4."""

    def make(source: Source, cache: Path, **options: object) -> ImageSet:
        split = {"train": 0.5, "validation": 0.25, "test": 0.25}
        settings: dict[str, Any] = {"image_size": 8, "split": split, "cache": cache}
        return prepare(source, **(settings | options))

    return make
