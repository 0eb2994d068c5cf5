"""The recipe of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", as a bare loop.

    python benchmarks/sides/fast_loop.py <images.npz> <runs>

What experiment=cifar10_fast takes over, and what it leaves out: all 50,000 images are trained on,
images are mirrored in every other epoch, the weights jump to their average every five steps
(Lookahead), and a test image is answered as the mean over itself, shifted by a pixel, and their
mirror images. The network is cnnexp's. Prints for each run the seconds of training and both
accuracies.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnnexp.models.fast import fast
from cnnexp.models.whitening import Whiten

BATCH, EPOCHS, SHIFT = 1024, 9.9, 2
# The paper's 11.5 and 0.0153 are for a sum over 1,024 images and what momentum adds up: of a mean,
# 11.5 / (1 + 1 / (1 - 0.85)).
RATE, DECAY = 1.5, 1.33e-3


def train(images: torch.Tensor, labels: torch.Tensor, seed: int) -> nn.Module:
    """images: (N, 3, 32, 32), normalised, on the GPU."""
    torch.manual_seed(seed)
    net = fast(32, 10).cuda().to(memory_format=torch.channels_last).train()
    whiten = next(layer for layer in net.modules() if isinstance(layer, Whiten))
    whiten.fit(images[:5000])
    optimizer = torch.optim.SGD(
        net.parameters(), RATE, momentum=0.85, nesterov=True, weight_decay=DECAY, fused=True
    )
    total = int(EPOCHS * (len(images) // BATCH))
    rise = int(0.23 * total)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            0.2 + 0.8 * step / rise
            if step < rise
            else 1 - 0.93 * (step - rise) / max(1, total - rise)
        ),
    )
    quick = [value for value in net.state_dict().values() if value.is_floating_point()]
    slow = [value.clone() for value in quick]
    first = torch.rand(len(images), device="cuda") < 0.5
    step = epoch = 0
    while step < total:
        order = torch.randperm(len(images), device="cuda")
        for batch in order.split(BATCH)[: len(images) // BATCH]:
            mirrored = (first[batch] ^ bool(epoch % 2))[:, None, None, None]
            given = shifted(images[batch])
            given = torch.where(mirrored, given.flip(3), given)
            with torch.autocast("cuda", torch.bfloat16):
                logits = net(given.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels[batch], label_smoothing=0.2)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step == total:
                break
            if step % 5 == 0:
                share = 0.95**5 * (step / total) ** 3
                torch._foreach_lerp_(slow, quick, 1 - share)
                torch._foreach_copy_(quick, slow)
        epoch += 1
        whiten.bias.requires_grad_(epoch < 3)
    torch._foreach_copy_(quick, slow)
    return net


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each by up to SHIFT pixels, mirrored at its edges."""
    size, count = images.shape[2], len(images)
    views = F.pad(images, (SHIFT,) * 4, mode="reflect").unfold(2, size, 1).unfold(3, size, 1)
    top, left = torch.randint(0, 2 * SHIFT + 1, (2, count), device=images.device)
    return views[torch.arange(count, device=images.device), :, top, left]


@torch.no_grad()
def answered(net: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the images as they are, and the mean over six forms of each."""

    def said(part: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return net(part.to(memory_format=torch.channels_last)).float()

    plain, mean = [], []
    net.eval()
    for part in images.split(2000):
        padded = F.pad(part, (1,) * 4, mode="reflect")
        forms = [(part, 0.5), (padded[:, :, :32, :32], 0.25), (padded[:, :, 2:, 2:], 0.25)]
        plain.append(said(part))
        mean.append(sum(w / 2 * (said(f) + said(f.flip(3))) for f, w in forms))
    return torch.cat(plain), torch.cat(mean)


def main(path: str, runs: int) -> None:
    with np.load(path) as file:
        pixels = [torch.from_numpy(file[k]).cuda() for k in ("images", "test_images")]
        labels, answers = (torch.from_numpy(file[k]).cuda() for k in ("labels", "test_labels"))
    floating = [each.permute(0, 3, 1, 2).float() / 255 for each in pixels]
    mean = floating[0].mean((0, 2, 3), keepdim=True)
    std = floating[0].std((0, 2, 3), keepdim=True)
    images, tests = ((each - mean) / std for each in floating)
    found = []
    for seed in range(runs):
        torch.cuda.synchronize()
        began_s = time.perf_counter()
        net = train(images, labels, seed)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began_s
        shares = [
            float((said.argmax(1) == answers).float().mean()) for said in answered(net, tests)
        ]
        found.append([seconds, *shares])
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
