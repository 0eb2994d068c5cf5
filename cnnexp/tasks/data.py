"""task=data: look at a data set as training will see it; no network is built."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from cnnexp.augmenting import build_augmentation
from cnnexp.config.arguments import to_type
from cnnexp.data.batches import as_tensor, channel_statistics, channels_first
from cnnexp.data.gate import quiet
from cnnexp.data.image_set import ImageSet, LeftOut
from cnnexp.data.near_copies import MOST, NearCopy, near_copies
from cnnexp.data.summary import summary, write_left_out
from cnnexp.data.thumbnail import thumbnail
from cnnexp.data.turns import in_turn, turns
from cnnexp.datasets.source import SPLITS, Source
from cnnexp.experiment import device_of, load_images
from cnnexp.files import shown_path, whole_file
from cnnexp.plan import is_identity
from cnnexp.reporting.data_counts import CARDS, Lost, class_balance, left_out_files
from cnnexp.reporting.data_pictures import (
    MEANS,
    ROWS,
    augmentation_preview,
    class_samples,
    mean_images,
    samples_per_class,
)
from cnnexp.reporting.journal import Journal
from cnnexp.reporting.near_copies import Pair, near_copy_pairs
from cnnexp.reporting.page import told_apart
from cnnexp.reporting.picture import Picture, save_pictures
from cnnexp.reporting.run_report.words import target
from cnnexp.runs import Result, create_run_folder
from cnnexp.sources import find_images
from cnnexp.training.randomness import set_generators

ORIGINALS, DRAWS = 6, 8  # of the augmentation


def show_data(config: Mapping[str, Any]) -> Result:
    """Everything is drawn before anything is written."""
    with Journal() as journal:
        source = find_images(config)
        images = load_images(config, source)
        journal.topics("data", summary(images))
        note = partial(journal.topic, "note")
        pairs = near_pairs(images, note)
        with told_apart(images.classes, note):
            pictures = draw_pictures(config, source, images)
        if pairs:
            pictures["near_copies"] = draw_pairs(images, pairs)
        drawn = pictures["augmentation"].numbers if "augmentation" in pictures else {}
        of = ", {draws} draws of {images} images".format(**drawn) if drawn else ""
        journal.topic("augment", f"{target(config['augmentation'])}{of}")
        folder = create_run_folder(Path(config["paths"]["outputs"]) / "data", config["name"])
        written = save_pictures(pictures, folder / "figures")
        write_left_out(folder / "left_out.csv", images.left_out)
        if pairs:
            write_pairs(folder / "near_copies.csv", images, pairs)
        journal.topics("pictures", [shown_path(path) for path in written])
        journal.topic("next", next_command(config["overrides"]))
    total = sum(len(members) for members in images.split.values())
    return Result({"images": float(total), "left_out": float(len(images.left_out))}, folder)


def near_pairs(images: ImageSet, note: Callable[[str], None]) -> list[NearCopy]:
    """Test images that look like one that trains or validates, then validation images that look
    like one that trains.
    """
    train, validation, test = (images.split[name] for name in SPLITS)
    known = np.concatenate([train, validation])
    if max(len(test) * len(known), len(validation) * len(train)) > MOST:
        note("near copies across splits were not looked for: there are too many images")
        return []
    pairs = near_copies(images.images, test, known) + near_copies(images.images, validation, train)
    if pairs:
        note(f"{told(images, pairs)}; see near_copies.png")
    return pairs


def told(images: ImageSet, pairs: Sequence[NearCopy]) -> str:
    """How many images of which split look like one that another split has."""
    split = split_of(images)
    counts = Counter(split[pair.image] for pair in pairs)
    said = [f"{counts[s]:,} of {len(images.split[s]):,} {s} images" for s in SPLITS if counts[s]]
    return f"{' and '.join(said)} look like an image of another split (near copies)"


def split_of(images: ImageSet) -> dict[int, str]:
    return {int(row): name for name in SPLITS for row in images.split[name]}


def draw_pairs(images: ImageSet, pairs: Sequence[NearCopy]) -> Picture:
    split = split_of(images)
    shown = [
        Pair(
            images.images[pair.image],
            images.images[pair.of],
            f"{split[pair.image]}: {images.paths[pair.image]}",
            f"{split[pair.of]}: {images.paths[pair.of]}",
            f"{pair.likeness:.3f}{', mirrored' if pair.mirrored else ''}",
        )
        for pair in pairs
    ]
    return near_copy_pairs(shown, f"{told(images, pairs)}.", source=images.name)


def write_pairs(path: Path, images: ImageSet, pairs: Sequence[NearCopy]) -> None:
    """near_copies.csv: path, split, twin, its split, likeness, mirrored."""
    split = split_of(images)
    with whole_file(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "split", "twin", "twin_split", "likeness", "mirrored"))
        for image, of, likeness, mirrored in pairs:
            own, its = images.paths[image], images.paths[of]
            rows.writerow((own, split[image], its, split[of], f"{likeness:.4f}", mirrored))


def draw_pictures(
    config: Mapping[str, Any], source: Source, images: ImageSet
) -> dict[str, Picture]:
    """By file stem; without augmentation, or files left out, there is no picture of them."""
    labels, classes, train = np.asarray(images.labels), images.classes, images.split["train"]
    table = {s: np.bincount(labels[images.split[s]], minlength=len(classes)) for s in SPLITS}
    counts = dict(zip(classes, table["train"].tolist(), strict=True))
    chosen = choose_samples(labels, train, len(classes), config["seed"])
    samples = {classes[label]: images.images[rows] for label, rows in enumerate(chosen[:ROWS])}
    pictures = {"samples": class_samples(samples, counts, source=images.name)}
    if not is_identity(config["augmentation"]):
        rows = np.concatenate(chosen)
        rows = rows[in_turn(labels[rows])][:ORIGINALS]
        pictures["augmentation"] = preview(config, images, rows)
    pictures["class_balance"] = class_balance(table, classes, source=images.name)
    pictures["mean_images"] = mean_images(
        class_means(images.images, labels, train, min(len(classes), MEANS)),
        counts,
        list(zip(*channel_statistics(images.images, train), strict=True)),
        source=images.name,
    )
    if images.left_out:
        kinds = Counter(kind(item.reason) for item in images.left_out)
        pictures["left_out"] = left_out_files(
            lost_files(source, images),
            dict(kinds.most_common()),
            # Copies are both decoded and left out: count each file once.
            files=len({*images.paths, *(item.path for item in images.left_out)}),
            source=images.name,
        )
    return pictures


def choose_samples(
    labels: np.ndarray, members: np.ndarray, classes: int, seed: int
) -> list[np.ndarray]:
    """Per class some of `members`, drawn without replacement; the same whatever the others are."""
    chosen = []
    for label in range(classes):
        own = members[labels[members] == label]
        count = min(len(own), samples_per_class(classes))
        generator = np.random.default_rng((seed, label))
        chosen.append(generator.choice(own, count, replace=False))
    return chosen


def preview(config: Mapping[str, Any], images: ImageSet, rows: np.ndarray) -> Picture:
    """What training would be given, were these the first images of its first epochs."""
    draws = draw_augmented(
        build_augmentation(config),
        lambda: channels_first(as_tensor(images.images)[torch.from_numpy(rows)]),
        count=DRAWS, seed=config["seed"], device=device_of(config),
    )  # fmt: skip
    mixes = [name for name in ("mixup", "cutmix") if config["training"][name]]
    note = f"{draws.dtype} values from {draws.min():.3g} to {draws.max():.3g}"
    if mixes:
        note += f"; not shown: {' and '.join(mixes)}, which mixes two such images"
    return augmentation_preview(
        images.images[rows],
        draws,
        [f"{images.classes[images.labels[row]]} · {images.paths[row]}" for row in rows],
        augmentation=target(config["augmentation"]),
        note=f"{note}.",
    )


def draw_augmented(
    augment: Callable[[torch.Tensor], torch.Tensor],
    batch: Callable[[], torch.Tensor],
    *,
    count: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """(count, B, S, S, 3): `count` draws for the same batch (B, 3, S, S) uint8.

    Seeded as `Classifier.training_step` seeds the first batch of epoch 0, 1, …; all generators
    are as before afterwards.
    """
    draws = []
    with isolate_rng(include_cuda=device.type == "cuda"):
        for epoch in range(count):
            drawn = int(np.random.SeedSequence((seed, epoch, 0, 0)).generate_state(1)[0])
            set_generators(drawn, device.type)
            draws.append(augment(batch().to(device)).cpu())
    floating = [draw if draw.dtype == torch.uint8 else draw.float().clamp(0, 1) for draw in draws]
    return torch.stack(floating).permute(0, 1, 3, 4, 2).numpy()


def class_means(
    images: np.ndarray, labels: np.ndarray, members: np.ndarray, classes: int
) -> np.ndarray:
    """(classes, S, S, 3) float32 in [0, 1]: the mean of the first classes' members; 0 for none."""
    means = np.zeros((classes, *images.shape[1:]), dtype=np.float32)
    for label in range(classes):
        own = members[labels[members] == label]
        for part in np.array_split(own, max(1, len(own) // 512)):
            means[label] += images[part].sum(axis=0, dtype=np.int64) / (255 * max(len(own), 1))
    return means


def kind(reason: str) -> str:
    """A reason without what is particular to a file: "truncated", "copies", "too small …"."""
    if reason.startswith("exact duplicate"):
        return "copies in another class" if "in another class" in reason else "copies"
    before, _, after = reason.partition(": ")
    return re.split(r" \(|:", after if re.match(r"\d", before) else before)[0]


def lost_files(source: Source, images: ImageSet) -> list[Lost]:
    """Up to `CARDS` of the files that were left out: one of each kind, then the second of each."""
    order = np.argsort(turns([kind(item.reason) for item in images.left_out]), kind="stable")
    chosen = [images.left_out[i] for i in order[:CARDS]]
    where = {path: i for i, path in enumerate(source.paths)}
    row = {path: i for i, path in enumerate(images.paths)}
    twins: dict[str, list[int]] = defaultdict(list)  # that stay first, then those that go, too
    gone = {item.path for item in images.left_out}
    for i in sorted(range(len(images.paths)), key=lambda i: images.paths[i] in gone):
        twins[images.sha256[i]].append(i)
    with quiet():
        return [lost(item, source, images, where, row, twins) for item in chosen]


def lost(
    item: LeftOut,
    source: Source,
    images: ImageSet,
    where: Mapping[str, int],
    row: Mapping[str, int],
    twins: Mapping[str, list[int]],
) -> Lost:
    """where: path -> place in the source; row: in the store; twins: sha256 -> rows there, those of
    images that are kept first.
    """
    copy = row.get(item.path)
    if copy is not None:
        twin = next((i for i in twins[images.sha256[copy]] if i != copy), None)
        if twin is not None:
            return Lost(item.path, item.reason, images.images[copy], images.images[twin])
    elif item.path in where:
        try:
            content = source.read(where[item.path])
        except Exception:  # what could not be read then may not be read now
            return Lost(item.path, item.reason)
        return Lost(item.path, item.reason, thumbnail(content))
    return Lost(item.path, item.reason)


def next_command(overrides: Sequence[str]) -> str:
    """The same data, trained on."""
    typed = [line for line in overrides if line.lstrip("+") != "task=data"]
    return to_type(*typed)
