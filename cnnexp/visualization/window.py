"""The part of an image that one place of a layer's map sees: what lies around it need not run."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from cnnexp.models.anatomy import receptive_field
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.responses import layer_responses


@dataclass(frozen=True)
class Window:
    """Of images (H, W) whose maps are (h, w): parts (side, side), in whose maps of (places, places)
    a place sees what it sees in the image. From one place to the next are `stride` pixels.

    The whole image where a part would save nothing: size is (H, W), places (h, w), stride 0.
    """

    size: tuple[int, int]
    places: tuple[int, int]
    map: tuple[int, int]
    stride: int

    def around(
        self, images: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of images (B, 3, H, W) the parts (B, 3, *size) around places (B,), row * w + column;
        and where in the parts' maps these are.

        As near to the middle as the image has room for: at its border a part ends with it, so that
        padding stands where it stood.
        """
        rows, columns = places // self.map[1], places % self.map[1]
        first_row, first_column = (
            (at - inside // 2).clamp(0, whole - inside)
            for at, inside, whole in zip((rows, columns), self.places, self.map, strict=True)
        )
        height, width = self.size
        corners = zip(
            (first_row * self.stride).tolist(), (first_column * self.stride).tolist(), strict=True
        )
        parts = [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(images, corners, strict=True)
        ]
        inside = (rows - first_row) * self.places[1] + columns - first_column
        return torch.stack(parts), inside


def window_of(
    network: nn.Sequential,
    layer: str,
    size: tuple[int, int],
    places: tuple[int, int],
    margin: float,
    key: str,
) -> Window:
    """For images of that (height, width), whose maps have so many places. margin: how much more
    than it sees is around a place, as a share of that; and half a place each way.

    The whole image where a part would be no smaller, the network takes no other size, or a place
    answers otherwise in it: the statistics of a whole map count (group norm), or coordinates do.
    """
    whole = Window(size, places, places, 0)
    field = receptive_field(network, layer, max(size))
    stride = int(field.jump)
    if stride < 1 or size[0] != size[1] or places[0] != places[1]:
        return whole
    # Two more: half a place each way, and the middle may lie between two.
    across = math.ceil(field.side * (1 + margin) / stride) + 2
    side = size[0] - (places[0] - across) * stride
    if across >= places[0] or not 0 < side < size[0]:
        return whole
    part = Window((side, side), (across, across), places, stride)
    return part if _answers_alike(network, layer, part, size, key) else whole


def _answers_alike(
    network: nn.Sequential, layer: str, part: Window, size: tuple[int, int], key: str
) -> bool:
    """Whether three places of a random image answer in its parts as in the whole, in float32."""
    device = next(network.parameters()).device
    # Brighter at one end: else the statistics of a part were those of the whole.
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    image = (noise * torch.linspace(0, 1, size[1])).to(device)
    count = part.map[0] * part.map[1]
    places = torch.tensor([0, count // 2 + part.map[1] // 2, count - 1])
    exact = torch.autocast(device.type, enabled=False)
    with looking_at(network) as network, torch.no_grad(), exact:
        maps = layer_responses(network, [layer], image, key)[layer].before
        parts, inside = part.around(image.expand(len(places), -1, -1, -1), places)
        try:
            own = layer_responses(network, [layer], parts, key)[layer].before
        except Exception:  # code of a person's own, that asks for one size
            return False
    if tuple(own.shape[2:]) != part.places:
        return False
    answers = own.flatten(2)[range(len(places)), :, inside]
    wanted = maps[0].flatten(1).T[places]
    return torch.allclose(answers, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
