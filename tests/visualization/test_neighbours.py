"""Features by hand; neighbours against a search one by one; what stands in the picture."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from cnnexp.visualization.features import features_of, last_features, stratified
from cnnexp.visualization.neighbours import choose_queries, nearest_neighbours, neighbours
from cnnexp.visualization.probe import Images, Probe, Stored

Tiles = Callable[..., list[list[Any]]]

Make = Callable[..., nn.Sequential]
MakeProbe = Callable[..., Probe]


def images_of(pixels: torch.Tensor, labels: list[int], name: str = "") -> Images:
    """pixels: (N, 3, S, S) uint8."""
    names = tuple(f"{name}{i}.png" for i in range(len(pixels)))
    store = pixels.permute(0, 2, 3, 1).numpy()
    return Images(store, np.arange(len(pixels)), np.array(labels), names)


def test_features_are_what_the_last_dense_layer_gets(make_network: Make, images) -> None:
    network = make_network()
    network.head = nn.Sequential(
        nn.Flatten(), nn.Linear(96, 7), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(7, 3)
    )
    network.train()
    features, logits = last_features(network, images.split(2))
    network.eval()
    with torch.no_grad():
        expected = network.head[:3](network[:3](images))
        assert torch.allclose(features, expected, atol=1e-6)
        assert torch.allclose(logits, network(images), atol=1e-6)
    assert features.shape == (5, 7)
    assert features.any()


def test_features_of_a_head_that_is_one_layer(images) -> None:
    body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(OrderedDict(body=body, head=nn.Linear(3, 2)))
    features, _ = last_features(network, [images / 255])
    assert torch.allclose(features, (images / 255).mean(dim=(2, 3)))


def test_the_dense_layer_that_runs_last_counts(images) -> None:
    """Not the one that stands last."""

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(4, 2), nn.Linear(3, 4)

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(maps.mean(dim=(2, 3))).relu_())

    network = nn.Sequential(OrderedDict(body=nn.Identity(), head=Head()))
    values = images / 255
    features, _ = last_features(network, [values])
    with torch.no_grad():
        expected = network.head.first(values.mean(dim=(2, 3))).relu()
    assert torch.allclose(features, expected)


def test_features_without_a_dense_layer_are_the_mean_of_the_heads_input(images) -> None:
    head = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(OrderedDict(body=nn.Identity(), head=head))
    features, logits = last_features(network, [images / 255])
    assert torch.allclose(features, (images / 255).mean(dim=(2, 3)))
    assert logits.shape == (5, 2)


def test_features_of_places(make_network: Make, images) -> None:
    network, device = make_network(), torch.device("cpu")
    everything, _ = last_features(network, [images])
    split = images_of(images, [0] * 5)
    some, _ = features_of(network, split, [3, 0], device)
    assert torch.allclose(some, everything[[3, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_features_from_what_is_stored(make_network: Make, images, kind: torch.dtype) -> None:
    """float16 is what a network leaves that was trained in 16-mixed."""
    network, device = make_network(), torch.device("cpu")
    split = images_of(images, [0] * 5)
    wanted, logits = features_of(network, split, [3, 0], device)
    with torch.no_grad():
        outputs = network.eval()[:2](images).to(kind)
    network.block1.forward = None  # type: ignore[assignment]
    some, said = features_of(
        network, replace(split, stored=Stored(2, outputs)), np.array([3, 0]), device
    )
    assert torch.allclose(some, wanted, atol=1e-6 if kind == torch.float32 else 0.01)
    assert torch.allclose(said, logits, atol=1e-6 if kind == torch.float32 else 0.01)


def test_stratified_keeps_shares() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    places = stratified(labels, 20)
    assert np.bincount(labels[places]).tolist() == [12, 6, 2]
    assert places.tolist() == sorted(set(places.tolist()))
    assert places.tolist() == stratified(labels, 20).tolist()
    assert places.tolist() != stratified(labels, 20, seed=1).tolist()
    assert stratified(labels, 1000).tolist() == list(range(100))


def test_neighbours_by_hand() -> None:
    """Distances from the origin 5, 1, 2, 1: of equals the first."""
    database = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, -2.0], [0.0, 1.0]])
    found = nearest_neighbours(torch.zeros(1, 2), database.split(3), 3)
    assert found.places.tolist() == [[1, 3, 2]]
    assert found.distances.tolist() == [[1, 1, 2]]
    assert nearest_neighbours(torch.zeros(1, 2), [database], 9).places.tolist() == [[1, 3, 2, 0]]


def test_neighbours_equal_a_brute_force_search() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, database = (torch.randn(n, 17, generator=generator) for n in (9, 200))
    found = nearest_neighbours(queries, database.split(64), 5)
    one_by_one = torch.stack([(database.double() - q.double()).norm(dim=1) for q in queries])
    assert found.places.tolist() == one_by_one.argsort(dim=1)[:, :5].tolist()
    search = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(database.double().numpy())
    distances, places = search.kneighbors(queries.double().numpy())
    assert found.places.tolist() == places.tolist()
    assert np.allclose(found.distances, distances)


def test_pixel_distances_are_exact() -> None:
    """In float32 these two bright images, one value apart in 150,000, would be at distance 0."""
    bright = torch.full((1, 150_000), 255, dtype=torch.uint8)
    other = bright.clone()
    other[0, 77] = 254
    found = nearest_neighbours(bright, [torch.cat([other, bright])], 2)
    assert found.places.tolist() == [[1, 0]]
    assert found.distances.tolist() == [[0, 1]]


def test_queries_are_of_different_classes_and_half_of_them_wrong() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    predictions = np.array([0, 1, 1, 1, 2, 0, 3, 3])  # 1 and 5 are wrong
    assert choose_queries(labels, predictions, 4) == [1, 2, 5, 6]
    assert choose_queries(labels, predictions, 2) == [1, 2]
    assert choose_queries(labels, predictions, 6) == [0, 1, 2, 4, 5, 6]
    assert choose_queries(labels, predictions, 99) == list(range(8))
    assert choose_queries(labels, labels, 3) == [0, 2, 4]
    two = np.repeat([0, 1], 6)
    said = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1])  # the first three of each are wrong
    assert choose_queries(two, said, 6) == [0, 1, 3, 4, 6, 9]


@pytest.fixture
def probe(make_probe: MakeProbe) -> Probe:
    """Grey images; feature: the first pixel's red value alone. Training: 10, 20, 30, 200."""
    images = torch.full((2, 3, 4, 4), 12, dtype=torch.uint8)
    images[1] = 30
    images[1, 0, 0, 0] = 200
    train = torch.tensor([10, 20, 30, 200]).view(4, 1, 1, 1).expand(4, 3, 4, 4).byte()
    train[2, 0, 0, 0] = 200  # the second query's exact copy
    pick = nn.Conv2d(3, 1, 4, bias=False)
    with torch.no_grad():
        pick.weight.zero_()
        pick.weight[0, 0, 0, 0] = 1.0
    last = nn.Linear(1, 2)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[0.0], [1.0]]))
        last.bias.copy_(torch.tensor([0.0, -50.0]))
    body = nn.Sequential(ToFloat(), pick)
    head = nn.Sequential(nn.Flatten(), last)
    network = nn.Sequential(OrderedDict(body=body, head=head)).eval()
    return make_probe(
        network, images, torch.tensor([0, 0]), ("dark", "bright"),
        train=images_of(train, [0, 1, 0, 1], "train"),
    )  # fmt: skip


class ToFloat(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float()


def test_picture_by_hand(probe: Probe, tiles: Tiles) -> None:
    """Of 12: features 10 (2 away), 20 (8); pixels the same. Of the other: features 200, 200."""
    picture = neighbours(probe, k=2)["neighbours"]
    assert picture.numbers == {
        "k": 2,
        "database": 4,
        "queries": 2,
        # Query 1: train 0, 1. Query 2: features 2, 3 (of equals the first), pixels 2, then 1.
        "agreement": {"features": 0.5, "pixels": 0.5},
        "chance": 0.5,
        "exact_copies": [["1.png", "train2.png"]],
    }
    texts = [text.get_text() for text in picture.figure.texts]
    start = texts.index("✓ dark → dark (>99.9%)")
    assert texts[start + 1 : start + 5] == ["dark", "2", "✗ bright", "8"]
    assert texts[start + 5 : start + 9] == ["dark", "2 grey levels", "✗ bright", "8 grey levels"]
    start = texts.index("✗ dark\n→ bright (>99.9%)")
    assert texts[start + 1 : start + 5] == ["dark", "0", "✗ bright", "0"]
    # 47 values 10 apart, one 180: sqrt((47 * 100 + 180 ** 2) / 48) = 27.8.
    assert texts[start + 5 : start + 9] == ["dark", "0 grey levels", "✗ bright", "28 grey levels"]
    assert any("1 of the 2 test images has an exact copy" in text for text in texts)
    shown = [tile.get_array() for (tile,) in tiles(picture.figure)]
    assert [int(tile[1, 1, 0]) for tile in shown] == [12, 10, 20, 10, 20, 30, 30, 200, 30, 20]
    assert len(picture.figure.artists) == 4  # dashed frames of the other class


def test_less_than_asked_for(probe: Probe, make_network: Make, make_probe, images) -> None:
    assert neighbours(probe, k=10, queries=50)["neighbours"].numbers["k"] == 4
    assert neighbours(probe, database=3)["neighbours"].numbers["database"] == 3
    network = make_network(outputs=1)
    two = make_probe(network, images[:2], torch.tensor([0, 0]), ("a", "b"), rehearsal=True)
    numbers = neighbours(two)["neighbours"].numbers
    assert (numbers["k"], numbers["agreement"]) == (2, {"features": 1, "pixels": 1})
    assert len(numbers["exact_copies"]) == 2
