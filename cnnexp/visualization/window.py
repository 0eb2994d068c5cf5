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

    The whole image where it is no larger, or where the network takes no other.
    """
    whole = Window(size, places, places, 0)
    field = receptive_field(network, layer, max(size))
    stride = int(field.jump)
    if stride < 1 or stride != field.jump or size[0] != size[1] or places[0] != places[1]:
        return whole
    # Two more: half a place each way, and the middle may lie between two.
    across = math.ceil(field.side * (1 + margin) / stride) + 2
    side = size[0] - (places[0] - across) * stride
    if across >= places[0]:
        return whole
    part = Window((side, side), (across, across), places, stride)
    device = next(network.parameters()).device
    with looking_at(network) as network, torch.no_grad():
        images = torch.zeros(1, 3, side, side, device=device)
        try:
            found = layer_responses(network, [layer], images, key)[layer].before
        except Exception:  # code of a person's own, that asks for one size
            return whole
    return part if tuple(found.shape[2:]) == part.places else whole
