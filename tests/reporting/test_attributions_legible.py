"""Attributions and projections: nothing is cut off, nothing overlaps."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.visualization.attributions import METHODS, attributions
from cnnexp.visualization.probe import Probe
from cnnexp.visualization.projection import projection

LONG = "a rather long name of a class that goes on: {}"


@pytest.fixture
def probe(make_probe: Callable[..., Probe], request: pytest.FixtureRequest) -> Probe:
    name, act = request.param
    long = "a_block_with_quite_a_long_name"
    layers = OrderedDict(
        normalize=nn.Identity(), head=nn.Sequential(nn.Flatten(), nn.Linear(4 * 144, 3))
    )
    layers[long] = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), act)
    layers.move_to_end("head")
    images = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0)).mul(255).byte()
    network = nn.Sequential(layers).eval()

    class Floats(nn.Identity):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values / 255 if values.dtype == torch.uint8 else values

    network.normalize = Floats()
    classes = [name.format(i) for i in range(3)]
    return make_probe(
        network, images, torch.tensor([0, 1, 2]), classes, masks=torch.ones(3, 12, 12).bool()
    )


CASES = [("{}", nn.ReLU()), (LONG, nn.ReLU()), ("{}", nn.SiLU()), (LONG, nn.GELU())]


@pytest.mark.parametrize(
    ("methods", "probe"),
    [
        (["saliency"], (LONG, nn.ReLU())),
        (["saliency", "deconvolution"], ("{}", nn.SiLU())),  # which leaves one of them out
        (list(METHODS), (LONG, nn.ReLU())),
        (list(METHODS), (LONG, nn.GELU())),
    ],
    indirect=["probe"],
)
def test_attributions_are_legible(
    methods: list[str], probe: Probe, legible: Callable[[Figure], None]
) -> None:
    figure = attributions(probe, methods=methods, samples=1)["attributions"].figure
    assert min(text.get_fontsize() for text in figure.texts) >= 7.5
    legible(figure)


@pytest.mark.parametrize("probe", CASES, indirect=True)
def test_projections_are_legible(probe: Probe, legible: Callable[[Figure], None]) -> None:
    figure = projection(probe)["projection"].figure
    assert min(text.get_fontsize() for text in figure.texts) >= 7.5
    legible(figure)
