"""The loop that a careful person would write in PyTorch: all images as one uint8 tensor, crops and
mirrors of a whole batch at once, channels last, autocast, a fused optimizer.

    python benchmarks/sides/loop.py <images.npz> <epochs> <precision> [<seed> [<device>]]

precision: 32-true or bf16-mixed. Where the file has test images, they are answered at the end. On
a GPU all images lie there.
"""

import json
import sys
import time

import numpy as np
import torch
from network import network
from torch.nn import functional as F

BATCH, PADDING = 64, 4


def crop_flip(x: torch.Tensor) -> torch.Tensor:
    """(B, 3, 32, 32) uint8, padded by reflection, cropped at random, mirrored at random."""
    count, size = len(x), x.shape[2]
    views = F.pad(x.float(), (PADDING,) * 4, mode="reflect").unfold(2, size, 1).unfold(3, size, 1)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count), device=x.device)
    x = views[torch.arange(count, device=x.device), :, top, left]
    return torch.where(torch.rand(count, 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)


def main(path: str, epochs: int, precision: str, seed: int = 0, device: str = "cpu") -> None:
    torch.manual_seed(seed)
    with np.load(path) as file:
        pixels = torch.from_numpy(file["images"]).to(device).permute(0, 3, 1, 2)
        labels = torch.from_numpy(file["labels"]).to(device)
        tests = file.get("test_images")
        answers = torch.from_numpy(file["test_labels"]) if tests is not None else None
    some = pixels[:1000].float() / 255
    mean, std = some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True)
    net = network(int(labels.max()) + 1).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        net.parameters(), 0.07, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    steps = -(-len(labels) // BATCH) * epochs
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.07, total_steps=steps, cycle_momentum=False
    )
    rates = []
    for _ in range(epochs):
        began_s = time.perf_counter()
        for batch in torch.randperm(len(labels)).to(device).split(BATCH):
            x = (crop_flip(pixels[batch]) / 255 - mean) / std
            x = x.to(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
                logits = net(x)
            loss = F.cross_entropy(logits.float(), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
        if device != "cpu":
            torch.cuda.synchronize()
        rates.append(len(labels) / (time.perf_counter() - began_s))
    parameters = sum(weight.numel() for weight in net.parameters())
    found = {"images_per_s": rates, "parameters": parameters}
    if answers is not None:
        net.eval()
        with torch.no_grad(), torch.autocast(device, enabled=False):
            parts = torch.from_numpy(tests).to(device).permute(0, 3, 1, 2).split(256)
            said = torch.cat([net((part / 255 - mean) / std).argmax(1) for part in parts]).cpu()
        found["accuracy"] = float((said == answers).float().mean())
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:5]), *sys.argv[5:])
