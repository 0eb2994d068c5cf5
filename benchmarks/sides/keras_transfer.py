"""VGG16 in Keras: a head on the frozen base, then block5 with it; prints the epochs' seconds.

    python benchmarks/sides/keras_transfer.py <folder> <image size> <epochs each> <policy>

folder: train/<class>/ and validation/<class>/. policy: float32 or mixed_bfloat16.
In an environment of its own: pip install tensorflow-cpu
"""

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
from keras import layers

BATCH, DENSE = 32, 256


class Seconds(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []

    def on_epoch_begin(self, *_: Any) -> None:
        self.began_s = time.perf_counter()

    def on_epoch_end(self, *_: Any) -> None:  # validation included
        self.epochs.append(time.perf_counter() - self.began_s)


def opened(folder: str, size: int) -> Any:
    images = keras.utils.image_dataset_from_directory(
        folder, label_mode="binary", image_size=(size, size), batch_size=BATCH, verbose=False
    )
    return images.cache().prefetch(2)


def main(folder: str, size: int, epochs: int, policy: str) -> None:
    keras.mixed_precision.set_global_policy(policy)
    train, validation = opened(f"{folder}/train", size), opened(f"{folder}/validation", size)
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(size, size, 3))
    base.trainable = False
    inputs = keras.Input((size, size, 3))
    features = base(keras.applications.vgg16.preprocess_input(inputs), training=False)
    hidden = layers.Dense(DENSE, activation="relu")(layers.Flatten()(features))
    outputs = layers.Dense(1, dtype="float32")(layers.Dropout(0.5)(hidden))
    model = keras.Model(inputs, outputs)
    seconds = {}
    for phase, rate in (("frozen", 1e-3), ("finetune", 1e-5)):
        if phase == "finetune":
            base.trainable = True
            for layer in base.layers:
                layer.trainable = layer.name.startswith("block5")
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        taken = Seconds()
        model.fit(train, validation_data=validation, epochs=epochs, callbacks=[taken], verbose=0)
        seconds[f"{phase}_s"] = taken.epochs
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
