"""Seconds until Keras has gone through all images of a folder.

    python benchmarks/sides/open_keras.py <folder of class folders> <image size>

In an environment of its own: pip install tensorflow-cpu
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras


def main(folder: str, size: int) -> None:
    began_s = time.perf_counter()
    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=32, verbose=False
    )
    seen = sum(len(images) for images, _ in data.prefetch(2))
    print(json.dumps({"images": seen, "seconds": time.perf_counter() - began_s}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
