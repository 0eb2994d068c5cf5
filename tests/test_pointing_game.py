"""Grad-CAM against ground truth: does the map's maximum lie on the object?

The pointing game of Zhang et al. 2018, "Top-down neural attention by excitation backprop", on
images that come with the mask of their object.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

import cnnexp
from cnnexp.config.command import checked
from cnnexp.config.compose import compose
from cnnexp.experiment import find_images, load_images
from cnnexp.visualization.gradcam import gradcam_maps

# Four convolutions at the end: where a place sees the whole object, it can speak for it; with a
# smaller receptive field tips and corners do, and the maximum lies beside them.
OVERRIDES = [
    "dataset=shapes",
    "augmentation=crop_flip",
    "model.widths=[[16,16],[32,32],[64,64,64,64]]",
    "model.reduce=average",
    "model.dense=[]",
    "model.head_dropout=0",
    "optimizer.lr=5e-3",
    "trainer.max_epochs=15",
    "tracking=none",
    "visualization=none",
]


# With one logit, discs are what squares are not: a square's corners speak louder than its middle.
@pytest.mark.parametrize(
    ("loss", "classes", "least"), [("cross_entropy", 4, 0.95), ("bce", 2, 0.8)]
)
def test_the_maximum_lies_on_the_object(
    loss: str, classes: int, least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [*OVERRIDES, f"training.loss={loss}", f"dataset.classes={classes}"]
    result = cnnexp.run(overrides)
    assert result.metrics["test/accuracy"] > 0.95

    config = checked(compose(overrides).config, overrides)
    images = load_images(config, find_images(config))
    test = images.split["test"]
    pixels = torch.from_numpy(images.images[test]).permute(0, 3, 1, 2)
    network = result.network.eval()
    with torch.no_grad():
        logits = network(pixels)
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    right = (predicted.numpy() == images.labels[test]).nonzero()[0]
    maps = gradcam_maps(network, pixels[right], predicted[right]).maps.numpy()  # (N, 64, 64)
    masks = images.masks[test[right]]
    peaks = maps.reshape(len(maps), -1).argmax(1)
    hits = masks.reshape(len(masks), -1)[np.arange(len(masks)), peaks]
    assert hits.mean() >= least
    # The same game by chance: the object covers a small part of the image.
    assert masks.mean() < 0.3
