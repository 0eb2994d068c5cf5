"""Keras 3 on TensorFlow: tf.data with the same crops and mirrors, model.fit.

    python benchmarks/sides/keras_fit.py <images.npz> <epochs> <32-true or bf16-mixed>

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
import numpy as np
import tensorflow as tf
from keras import layers

BATCH = 64
WIDTHS = ((32, 32), (64, 64), (128, 128))


def network(classes: int) -> keras.Sequential:
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 127.5, offset=-1)])
    for stage in WIDTHS:
        for width in stage:
            model.add(layers.Conv2D(width, 3, padding="same", use_bias=False))
            model.add(layers.BatchNormalization())
            model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(classes, dtype="float32"))
    return model


def crop_flip(image: Any, label: Any) -> tuple[Any, Any]:
    image = tf.pad(image, [[4, 4], [4, 4], [0, 0]], mode="REFLECT")
    image = tf.image.random_crop(image, (32, 32, 3))
    return tf.image.random_flip_left_right(image), label


class Rates(keras.callbacks.Callback):
    def __init__(self, images: int) -> None:
        super().__init__()
        self.images, self.rates = images, []

    def on_epoch_begin(self, *_: Any) -> None:
        self.began_s = time.perf_counter()

    def on_epoch_end(self, *_: Any) -> None:
        self.rates.append(self.images / (time.perf_counter() - self.began_s))


def main(path: str, epochs: int, precision: str) -> None:
    if precision == "bf16-mixed":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    classes = int(labels.max()) + 1
    data = tf.data.Dataset.from_tensor_slices((images, np.eye(classes, dtype="float32")[labels]))
    data = data.shuffle(len(labels)).map(crop_flip, tf.data.AUTOTUNE)
    data = data.batch(BATCH).prefetch(tf.data.AUTOTUNE)
    model = network(classes)
    model.compile(
        keras.optimizers.SGD(0.07, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    rates = Rates(len(labels))
    model.fit(data, epochs=epochs, callbacks=[rates], verbose=0)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    print(json.dumps({"images_per_s": rates.rates, "parameters": parameters}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
