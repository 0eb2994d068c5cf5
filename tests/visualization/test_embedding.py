from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.visualization.embedding import COLOURS, MARKERS, embedding, maps_of, told_apart
from cnnexp.visualization.probe import Probe


def clusters(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three groups in 20 dimensions, far apart."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    return np.eye(20)[labels] * 50 + generator.normal(size=(count, 20)), labels


def test_variance_by_hand() -> None:
    """Axes with squares summing to 18, 2 and 0 of 20: 90% and 10%."""
    features = np.array([[3.0, 0, 5], [-3, 0, 5], [0, 1, 5], [0, -1, 5]])
    maps = maps_of(features)
    assert maps.explained == pytest.approx((0.9, 0.1))
    assert np.abs(maps.pca.xy) == pytest.approx(np.abs(features[:, :2]), abs=1e-9)
    assert (maps.tsne, maps.note) == (None, "t-SNE needs 8 images or more")


def test_trust_by_hand() -> None:
    """Venna and Kaski 2001: T(k) = 1 - 2 / (N k (2N - 3k - 1)) * sum of (rank - k): N 9, k 4."""
    features = np.random.default_rng(0).normal(size=(9, 6))
    maps = maps_of(features)
    near = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (features, maps.pca.xy)]
    for distances in near:
        np.fill_diagonal(distances, np.inf)
    ranks = near[0].argsort(axis=1).argsort(axis=1) + 1
    mapped = near[1].argsort(axis=1)[:, :4]
    penalty = sum(max(0, ranks[i, j] - 4) for i in range(9) for j in mapped[i])
    assert penalty > 0
    assert maps.pca.trust == pytest.approx(1 - 2 / (9 * 4 * (18 - 12 - 1)) * penalty)


def test_features_along_one_axis() -> None:
    maps = maps_of(np.array([[0.0], [1.0], [3.0]]))
    assert maps.pca.xy[:, 1].tolist() == [0, 0, 0]
    assert maps.pca.trust == 1


def test_groups_stay_groups_and_the_map_is_the_same_each_time() -> None:
    features, labels = clusters()
    state, torch_state = np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    maps = maps_of(features, perplexity=10)
    assert maps.tsne is not None
    distances = np.linalg.norm(maps.tsne.xy[:, None] - maps.tsne.xy[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()
    assert maps.tsne.trust is not None
    assert 0.9 < maps.tsne.trust <= 1
    assert np.array_equal(maps_of(features, perplexity=10).tsne.xy, maps.tsne.xy)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9])
def test_few_images(count: int) -> None:
    maps = maps_of(clusters(9)[0][:count])
    assert maps.pca.xy.shape == (count, 2)
    assert (maps.tsne is None) == (count < 8)
    assert bool(maps.note) == (count < 8)
    assert np.isfinite(maps.pca.xy).all()
    if count >= 8:
        assert maps.perplexity == (count - 1) / 3


def test_features_that_say_nothing() -> None:
    maps = maps_of(np.ones((50, 4)))
    assert maps.note == "all images have the same features"
    assert not maps.pca.xy.any()
    assert maps.explained == (0, 0)
    line = maps_of(np.arange(20.0)[:, None])
    assert line.explained == (1, 0)
    assert line.tsne is not None


def test_classes_told_apart_are_those_with_most_mistakes() -> None:
    labels = np.repeat(np.arange(12), 5)
    predictions = labels.copy()
    predictions[[0, 1, 11 * 5]] = 5  # two mistakes in class 0, one in class 11
    assert told_apart(labels, predictions) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]
    assert told_apart(np.array([3, 1, 3]), np.array([3, 3, 3])) == [1, 3]


def test_no_two_classes_look_alike() -> None:
    looks = [(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(10)]
    assert len(set(looks)) == 10


@pytest.fixture
def probe(make_network: Callable[..., nn.Sequential], make_probe: Callable[..., Probe]) -> Probe:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (30, 3, 16, 16), generator=generator).byte()
    network = make_network()
    said = network(images).argmax(dim=1)
    labels = torch.where(torch.arange(30) < 26, said, (said + 1) % 3)
    return make_probe(network, images, labels, ("cat", "dog", "tapir"))


def test_picture(probe: Probe) -> None:
    picture = embedding(probe)["embedding"]
    assert picture.numbers["images"] == 30
    assert picture.numbers["wrong"] == 4
    assert picture.numbers["perplexity"] == pytest.approx(29 / 3)
    texts = [text.get_text() for text in picture.figure.texts]
    line = "30 test images by the 96 inputs of the last layer; 4 are predicted wrong, those "
    assert f"{line}predicted wrong are ringed." in texts
    features = probe.network[:3](probe.images).flatten(1).detach()
    spread = features.var(dim=0).sum()
    pca, tsne = picture.figure.axes[:2]
    for axes in (pca, tsne):
        *points, rings = axes.collections
        assert sum(len(group.get_offsets()) for group in points) == 30
        assert len(rings.get_offsets()) == 4
        shown = {tuple(xy) for group in points for xy in group.get_offsets()}
        assert {tuple(xy) for xy in rings.get_offsets()} <= shown
        assert axes.get_aspect() == 1
    xy = np.concatenate([group.get_offsets() for group in pca.collections[:-1]])
    explained = xy.var(axis=0, ddof=1) / float(spread)
    assert explained.tolist() == pytest.approx(picture.numbers["explained_variance"], rel=1e-4)


def test_part_of_the_images(probe: Probe) -> None:
    assert embedding(probe, images=12)["embedding"].numbers["images"] == 12


def test_rehearsal_and_one_logit(make_network, make_probe, images) -> None:
    probe = make_probe(
        make_network(outputs=1), images[:2], torch.tensor([1, 1]), ("a", "b"), rehearsal=True
    )
    picture = embedding(probe)["embedding"]
    assert picture.numbers["trustworthiness"] == {"pca": None, "tsne": None}
    assert "Not drawn: t-SNE needs 8 images or more." in [
        t.get_text() for t in picture.figure.texts
    ]


def test_overflowed_weights(probe: Probe) -> None:
    with torch.no_grad():
        probe.network.block2[1].bias.fill_(torch.inf)
    picture = embedding(probe)["embedding"]
    assert picture.numbers["images"] == 0
    assert "Not drawn: no finite features." in [t.get_text() for t in picture.figure.texts]


def test_of_most_that_are_wrong_the_others_are_ringed(probe: Probe) -> None:
    """Rings round nearly all points would bury them."""
    labels = np.where(np.arange(30) < 20, (probe.test.labels + 1) % 3, probe.test.labels)
    right = int((labels == probe.probabilities.argmax(1)).sum())
    assert right == 6
    picture = embedding(replace(probe, test=replace(probe.test, labels=labels)))["embedding"]
    assert len(picture.figure.axes[0].collections[-1].get_offsets()) == right
    assert f"{30 - right} are predicted wrong, those predicted right are ringed." in picture.alt
    assert "predicted right" in [text.get_text() for text in picture.figure.texts]
