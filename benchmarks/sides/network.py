"""The network of model=baseline for 32x32 images, as one would write it by hand."""

from torch import nn

WIDTHS = ((32, 32), (64, 64), (128, 128))


def network(classes: int) -> nn.Sequential:
    """(B, 3, 32, 32) -> (B, classes)."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in WIDTHS:
        for width in stage:
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(4 * 4 * channels, 512), nn.ReLU(), nn.Linear(512, classes)
    )
