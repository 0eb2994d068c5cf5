"""The course's CIFAR-10 network in Keras, as students trained it, until it reaches a goal.

    python benchmarks/sides/keras_course.py <images.npz> <epochs at most> <validation accuracy>

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
from keras import layers


def network() -> keras.Sequential:
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)])
    for width in (32, 64):
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10))
    return model


class UntilGoal(keras.callbacks.Callback):
    def __init__(self, goal: float) -> None:
        super().__init__()
        self.goal, self.rows = goal, []

    def on_train_begin(self, *_: Any) -> None:
        self.began_s = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.rows.append((float(logs["val_accuracy"]), time.perf_counter() - self.began_s))
        self.model.stop_training = logs["val_accuracy"] >= self.goal


def main(path: str, epochs: int, goal: float) -> None:
    keras.utils.set_random_seed(0)
    with np.load(path) as file:
        train = file["train_images"], file["train_labels"]
        validation = file["validation_images"], file["validation_labels"]
    model = network()
    model.compile(
        keras.optimizers.RMSprop(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    until = UntilGoal(goal)
    model.fit(*train, batch_size=32, epochs=epochs, validation_data=validation,
              callbacks=[until], verbose=0)  # fmt: skip
    print(json.dumps({"epochs": until.rows}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
