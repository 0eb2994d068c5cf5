"""Files under two names: written once, and each can be replaced alone."""

import errno
import os
from pathlib import Path

import pytest

from cnnexp.files import under_two_names, whole_file


@pytest.mark.parametrize("links", [True, False])
def test_one_is_replaced_and_the_other_stays(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """links: whether the file system has them."""

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    last.write_bytes(b"older")
    best.write_bytes(b"first")
    for _ in range(2):  # the second time both are the same file already
        under_two_names(best, last)
        assert last.read_bytes() == b"first"
        assert best.samefile(last) == links
    with whole_file(last, "wb") as file:
        file.write(b"second")
    assert (best.read_bytes(), last.read_bytes()) == (b"first", b"second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
