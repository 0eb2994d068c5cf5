"""Seconds until cnnexp has gone through all images of a folder.

python benchmarks/sides/open_cnnexp.py <folder of class folders> <image size>
"""

import json
import sys
import time

import numpy as np

from cnnexp.config.compose import compose
from cnnexp.data.batches import Batches, as_tensor
from cnnexp.execution import checked
from cnnexp.experiment import load_images
from cnnexp.memory import keep_freed_memory
from cnnexp.sources import find_images

keep_freed_memory()  # as the command does


def main(folder: str, size: int) -> None:
    words = ["dataset=image_folder", f"dataset.root={folder}", f"dataset.image_size={size}",
             "paths.cache=cache"]  # fmt: skip
    config = checked(compose(words).config, words)
    began_s = time.perf_counter()
    found = load_images(config, find_images(config))
    pixels, labels = as_tensor(found.images), as_tensor(np.asarray(found.labels))
    seen = 0
    for images, _, _ in Batches(pixels, labels, np.arange(len(labels)), 32, shuffle_seed=0):
        seen += len(images)  # gathered: each of their bytes was copied
    print(json.dumps({"images": seen, "seconds": time.perf_counter() - began_s}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
