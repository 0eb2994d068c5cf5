"""Files that a person names, read on all cores."""

from pathlib import Path

import numpy as np
from PIL import Image

from cnnexp.data.given_files import read_files


def test_each_image_stays_with_its_path(tmp_path: Path) -> None:
    paths = []
    for number in range(40):
        path = tmp_path / f"{number:02d}.png"
        side = 200 if number % 3 == 0 else 8  # some take longer than others
        Image.fromarray(np.full((side, side, 3), 6 * number, dtype=np.uint8)).save(path)
        paths.append(path)
    paths[7].write_bytes(b"no image")
    paths[20].unlink()
    given = read_files(paths, {"image_size": 8, "resize": "crop"})
    assert [path for path, _ in given.left_out] == [paths[7], paths[20]]
    assert given.paths == [path for path in paths if path not in (paths[7], paths[20])]
    assert [int(pixels.mean()) for pixels in given.pixels] == [6 * int(p.stem) for p in given.paths]
