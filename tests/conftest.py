from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import nn

from cnnexp.config.own_folder import allow_folder
from cnnexp.runs import Result
from cnnexp.visualization.probe import Images, Probe


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The developer's own is neither read nor filled; each of several workers has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def each_test_is_a_command_of_its_own() -> Iterator[None]:
    """A test that names a --config-dir does not name it for the next one."""
    yield
    allow_folder(None)


@pytest.fixture
def validation_losses() -> Callable[[Result], list[float]]:
    """A run's, of its epochs."""

    def read(result: Result) -> list[float]:
        assert result.folder is not None
        rows = (result.folder / "metrics.csv").read_text().splitlines()
        return [float(row.split(",")[-1]) for row in rows if ",val/loss," in row]

    return read


@pytest.fixture
def make_probe() -> Callable[..., Probe]:
    """A probe whose images are all of the test split and of the training split."""

    def make(
        network: nn.Sequential,
        images: torch.Tensor,
        labels: torch.Tensor,
        classes: Sequence[str],
        paths: Sequence[str] | None = None,
        **more: object,
    ) -> Probe:
        names = tuple(paths or (f"{i}.png" for i in range(len(images))))
        split = Images(
            images.byte().permute(0, 2, 3, 1).numpy(), np.arange(len(images)), labels.numpy(), names
        )
        with torch.no_grad():
            logits = network(images)
        logits = torch.cat([-logits, logits], 1) / 2 if logits.shape[1] == 1 else logits
        shares = logits.softmax(dim=1).numpy()
        given = {"train": split, "test": split, "probabilities": shares} | more
        return Probe(network, images, labels, tuple(classes), names, **given)

    return make


Tiles = Callable[[Figure], list[list[AxesImage]]]


@pytest.fixture
def tiles() -> Tiles:
    """The images of a figure's canvas, those at one place together, in the order drawn."""

    def of(figure: Figure) -> list[list[AxesImage]]:
        places: dict[tuple[float, ...], list[AxesImage]] = {}
        for image in figure.axes[0].images if figure.axes else ():
            places.setdefault(tuple(image.get_extent()), []).append(image)
        return list(places.values())

    return of
