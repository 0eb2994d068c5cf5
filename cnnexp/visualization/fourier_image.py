"""Images made by gradient ascent: as a sum of waves, in the colours of the data set.

Olah, Mordvintsev and Schubert 2017, "Feature Visualization" (distill.pub): steps along the gradient
of pixels give noise; steps of a decorrelated image give forms.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch.nn import functional as F

# The spread of the first waves is that of lucid (tensorflow/lucid, optvis), whose rate of 0.05 has
# 512 steps: with few, twice the rate comes further.
RATE, FIRST = 0.1, 0.01
TURN, STRETCH = 5.0, 0.05  # degrees, and share of the size, either way: lucid's are alike
WAVES = 4.0  # lucid's "magic constant" (param/spatial.py): divides the image, prevents saturation


def colour_basis(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How colours vary in images (B, 3, H, W) uint8: mean (3,) in [0, 1], and a basis (3, 3).

    The basis is the symmetric square root of the covariance of the pixels, its largest column of
    length 1: independent values times it are colours as frequent as in the images. lucid has that
    of ImageNet as a constant (param/color.py).
    """
    pixels = images.movedim(1, -1).reshape(-1, 3).cpu().double() / 255
    values, vectors = torch.linalg.eigh(torch.cov(pixels.T, correction=0))
    root = vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
    longest = root.norm(dim=0).max()
    basis = root / longest if longest > 1e-6 else torch.eye(3).double()
    return pixels.mean(dim=0).float().to(images.device), basis.float().to(images.device)


class FourierImage:
    """n images (n, 3, H, W) in (0, 1), whose parameters are the amplitudes of waves.

    Each amplitude is divided by the wave's frequency, as large as they are in natural images, then
    colours are mixed by `basis` (3, 3) around `mean` (3,), and a sigmoid keeps the range.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        mean: torch.Tensor,
        basis: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        height, width = size
        down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        frequency = (down**2 + across**2).sqrt().clamp(min=1 / max(size))  # cycles per pixel
        self._scale = (1 / frequency).to(mean.device)
        self._size, self._basis = size, basis
        self._mean = torch.logit(mean.clamp(0.05, 0.95))[:, None, None]
        first = torch.randn(count, 3, *frequency.shape, 2, generator=generator) * FIRST
        self.amplitudes = first.to(mean.device).requires_grad_()

    def __call__(self) -> torch.Tensor:
        waves = torch.view_as_complex(self.amplitudes) * self._scale
        values = torch.fft.irfft2(waves, s=self._size, norm="ortho") / WAVES
        colours = torch.einsum("ck,nkhw->nchw", self._basis, values)
        return torch.sigmoid(colours + self._mean)


def moved(images: torch.Tensor, jitter: float, generator: torch.Generator) -> torch.Tensor:
    """Each image (n, 3, H, W) turned, stretched and shifted by at most `jitter` pixels, by chance.

    What still excites the channel then is no pattern of single pixels.
    """
    count, _, height, width = images.shape
    angle, stretch, across, down = torch.rand(4, count, generator=generator) * 2 - 1
    angle = angle * math.radians(TURN)
    cos, sin = angle.cos() * (1 + STRETCH * stretch), angle.sin() * (1 + STRETCH * stretch)
    # In units where the image reaches from -1 to 1, hence 2 / width per pixel.
    rows = [[cos, -sin, across * jitter * 2 / width], [sin, cos, down * jitter * 2 / height]]
    matrices = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)  # (n, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid.to(images.device), padding_mode="reflection", align_corners=False
    )


def ascend(
    image: FourierImage,
    objective: Callable[[torch.Tensor], torch.Tensor],
    steps: Iterable[int],
    *,
    jitter: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Raise objective(images (n, 3, H, W)) -> (n,), each by its own image; the images, uint8.

    Adam makes its steps the same whatever the unit of a response is.
    """
    optimizer = torch.optim.Adam([image.amplitudes], lr=RATE, eps=1e-12)
    in_float32 = torch.autocast(image.amplitudes.device.type, enabled=False)
    for _ in steps:
        with in_float32:  # in bfloat16 a place in the image is up to half a pixel off
            shown = moved(image(), jitter, generator)
        responses = objective(shown)
        with in_float32:  # what ran in bfloat16 goes back in it
            (gradient,) = torch.autograd.grad(-responses.sum(), image.amplitudes)
        image.amplitudes.grad = gradient
        optimizer.step()
    with in_float32:
        return (image().detach() * 255).round().byte()
