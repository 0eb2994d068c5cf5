"""Batches: every image once, order from seed and epoch alone, statistics exact."""

import numpy as np
import torch

from cnnexp.data.batches import Batches, channel_statistics

PIXELS = torch.arange(10 * 2 * 2 * 3, dtype=torch.uint8).view(10, 2, 2, 3)
LABELS = torch.arange(10) % 3


def seen(batches: Batches) -> list[int]:
    return [int(index) for _, _, indices in batches for index in indices]


def test_each_image_once_and_no_runt() -> None:
    batches = Batches(PIXELS, LABELS, np.array([1, 3, 5, 7, 9]), batch_size=2, shuffle_seed=0)
    assert sorted(seen(batches)) == [1, 3, 5, 7, 9]
    sizes = [len(labels) for _, labels, _ in Batches(PIXELS, LABELS, np.arange(9), batch_size=4)]
    assert sizes == [3, 3, 3]  # 4, 4, 1 would hand batch norm a single image


def test_images_labels_and_indices_belong_together() -> None:
    for images, labels, indices in Batches(PIXELS, LABELS, np.arange(10), 4, shuffle_seed=5):
        assert images.shape[1:] == (3, 2, 2)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.tolist() == [int(i) % 3 for i in indices]
        assert images[:, 0, 0, 0].tolist() == [int(i) * 12 for i in indices]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int | None, epoch: int) -> list[int]:
        batches = Batches(PIXELS, LABELS, np.arange(10), 3, shuffle_seed=seed)
        batches.set_epoch(epoch)
        return seen(batches)

    assert order(None, 4) == list(range(10))
    assert order(1, 4) == order(1, 4)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_statistics_equal_numpys() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
    chosen = np.arange(5, 40)
    mean, std = channel_statistics(images, chosen)
    np.testing.assert_allclose(mean, (images[chosen] / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images[chosen] / 255).std((0, 1, 2)))
    _, flat = channel_statistics(np.full((3, 2, 2, 3), 7, np.uint8), np.arange(3))
    assert flat == [1 / 255] * 3


def test_an_epoch_goes_through_one_view() -> None:
    """Three forms of four images: row 4 * view + image."""
    stored = torch.arange(12.0).view(12, 1)
    batches = Batches(stored, torch.arange(4), np.arange(4), 2, first_epoch=1, views=3)
    found = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        found.append([int(value) for values, _, _ in batches for value in values])
    assert found == [[4, 5, 6, 7], [8, 9, 10, 11], [0, 1, 2, 3]]


def test_what_blocks_made_of_a_split_is_named_by_its_images() -> None:
    members = np.array([20, 21, 35, 36])
    stored = torch.arange(4.0).view(4, 1)
    batches = Batches(stored, torch.arange(4), np.arange(4), 2, shuffle_seed=3, members=members)
    for number, (values, _, indices) in enumerate(batches):
        expected = [members[int(v)] for v in values]
        assert batches.indices_of(number).tolist() == indices.tolist() == expected
