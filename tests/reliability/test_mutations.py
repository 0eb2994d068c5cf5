"""Files of a run's folder that somebody or something has changed: every command that reads them
still answers, or says in one line what is wrong with which; a zip with changed bytes likewise.

CNNEXP_FUZZ says how many changes of each are tried (12).
"""

import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnexp.__main__ import main

COUNT = int(os.environ.get("CNNEXP_FUZZ", "12"))
NASTY = [b"\0", b"\xff", b"NaN", b"-1", b"1e999", b"99999999", b"null", b"[]", b"{}", b"''", b"\n"]


def changed(content: bytes, draw: random.Random) -> bytes:
    """One way in which a file goes bad."""
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    end = min(end, begin + 200)
    some = draw.randbytes(1 + draw.randrange(8))
    values = [at for at in range(len(content)) if content[at : at + 1].isdigit()][:20_000]
    at = draw.choice(values) if values else 0
    ways: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: content[:begin],
        lambda: content[:begin] + content[end:],
        lambda: content[:end] + content[begin:],
        lambda: content[:begin] + some + content[begin + len(some) :],
        lambda: content[:begin] + draw.choice(NASTY) + content[end:],
        lambda: content[:at] + draw.choice(NASTY) + content[at + 1 :],  # of a number
    ]
    return draw.choice(ways)()


def test_the_commands_work(
    give: Callable[[str], Path], command: str, commands: dict[str, list[str]]
) -> None:
    """Of a folder that is as it was: what is refused below is not refused for its words."""
    give(command)
    assert main(["tracking=none", *commands[command]]) in (0, None)


@pytest.mark.parametrize("number", range(COUNT))
def test_a_changed_run(
    give: Callable[[str], Path],
    commands: dict[str, list[str]],
    number: int,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    draw = random.Random(number)
    name = draw.choice(list(commands))
    path = draw.choice(sorted(path for path in give(name).rglob("*.*") if path.is_file()))
    path.write_bytes(changed(path.read_bytes(), draw))
    record_property("changed files", 1)
    capsys.readouterr()
    code = main(["tracking=none", *commands[name]])
    said = capsys.readouterr().err.splitlines()
    assert code in (0, 2) or (name, code) == ("reproduce", 1), path
    if code == 2:
        assert len(said) == 1, (path, said)
        assert len(said[0]) < 700, (path, said)


@pytest.fixture(scope="module")
def photos() -> bytes:
    """A zip of two classes of ten photographs."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(20):
            pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)
            photo = io.BytesIO()
            Image.fromarray(pixels).save(photo, ("PNG", "JPEG")[number % 2])
            archive.writestr(f"{'ab'[number // 10]}/{number}.png", photo.getvalue())
    return made.getvalue()


@pytest.mark.parametrize("number", range(COUNT))
def test_a_changed_zip(
    work: Path,
    photos: bytes,
    number: int,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("changed files", 1)
    (work / "photos.zip").write_bytes(changed(photos, random.Random(number)))
    code = main(["task=data", "dataset=image_folder", "dataset.root=photos.zip",
                 "dataset.image_size=16", "tracking=none"])  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert code in (0, 2)
    if code == 2:
        assert len(said) == 1, said
    assert {path.name for path in work.iterdir()} <= {"photos.zip", "cache", "outputs"}
