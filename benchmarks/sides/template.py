"""PyTorch Lightning as the usual template uses it: a Dataset of PIL images, torchvision's
transforms one image at a time, a DataLoader with workers, self.log in each step.

    python benchmarks/sides/template.py <images.npz> <epochs> <32-true or bf16-mixed>
"""

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from network import network
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

BATCH = 64
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Images(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision.datasets.CIFAR10 keeps them."""

    def __init__(self, path: str) -> None:
        with np.load(path) as file:
            self.images, self.labels = file["images"], file["labels"].tolist()
        self.transform = T.Compose(
            [T.RandomCrop(32, padding=4, padding_mode="reflect"), T.RandomHorizontalFlip(),
             T.ToTensor(), T.Normalize(MEAN, STD)]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class Module(pl.LightningModule):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = network(classes)
        self.rates: list[float] = []

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        x, y = batch
        logits = self.network(x)
        loss = F.cross_entropy(logits, y, label_smoothing=0.1)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", (logits.argmax(1) == y).float().mean(), on_epoch=True)
        return loss

    def on_train_epoch_start(self) -> None:
        self.began_s = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        dataset: Any = self.trainer.train_dataloader.dataset
        self.rates.append(len(dataset) / (time.perf_counter() - self.began_s))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(
            self.parameters(), 0.07, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.07, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def main(path: str, epochs: int, precision: str) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    dataset = Images(path)
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=os.cpu_count() or 1, persistent_workers=True
    )
    module = Module(max(dataset.labels) + 1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", precision=precision,  # type: ignore[arg-type]
            default_root_dir=folder, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, loader)
    parameters = sum(weight.numel() for weight in module.parameters())
    print("\n" + json.dumps({"images_per_s": module.rates, "parameters": parameters}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
