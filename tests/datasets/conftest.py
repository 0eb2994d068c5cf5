"""Files laid out in folders and zips, and what a dataset makes of them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.datasets.source import Source
from cnnexp.errors import InputError


def _lay_out(root: Path, names: list[str]) -> Path:
    """Files whose content is their name; a name that ends in "/" is an empty folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_bytes(name.encode())
    return root


def _zip_up(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else name.encode())
    return path


def _table(source: Source) -> dict[str, tuple[str, str]]:
    """path -> (class, given split)."""
    given = [""] * len(source.paths) if source.given is None else source.given.tolist()
    classes = [source.classes[label] for label in source.labels]
    return dict(zip(source.paths, zip(classes, given, strict=True), strict=True))


def _refusal(call: Callable[[], Source], *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in ("dataset.root", *words) if word not in message] == [], message


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[str]], Path]:
    """names -> a folder or a zip with these files."""
    if request.param == "folder":
        return lambda names: _lay_out(tmp_path / "pets", names)
    return lambda names: _zip_up(tmp_path / "pets.zip", names)


@pytest.fixture
def lay_out() -> Callable[[Path, list[str]], Path]:
    return _lay_out


@pytest.fixture
def zip_up() -> Callable[[Path, list[str]], Path]:
    return _zip_up


@pytest.fixture
def table() -> Callable[[Source], dict[str, tuple[str, str]]]:
    return _table


@pytest.fixture
def refusal() -> Callable[..., None]:
    return _refusal
