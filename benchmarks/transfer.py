"""VGG16 on cats and dogs, frozen and fine-tuned, beside Keras: same images, same head.

    python benchmarks/transfer.py --keras <python> [dataset=cats_dogs dataset.root=<zip>]

Frozen: the whole command of `experiment=vgg16_frozen` at 150 pixels, 20 epochs, with an empty
cache, against the whole script in Keras, of which --keras-epochs are trained and the others taken
to last as long as the median of these. Fine-tuned: an epoch with block5 unfrozen, validation
included. Weights are drawn, which changes no time. Keras decodes its images once (`cache()`) and
trains in float32, as it does unless told otherwise, and with mixed_bfloat16 where cnnexp does.
--keras: the Python of an environment with tensorflow-cpu. Nothing else should run on the machine
meanwhile.
"""

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path

from commands import SIDES, absolute, done, loaded, newest_run, ours
from PIL import Image

from cnnexp.data.image_set import ImageSet
from cnnexp.experiment import precision_of

EPOCHS, SIZE = 20, 150
GENERATED = ["dataset=shapes", "dataset.classes=2", "dataset.images=4000"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--keras", required=True, help="Python of an environment with tensorflow-cpu"
    )
    parser.add_argument("--keras-epochs", type=int, default=2)
    parser.add_argument("words", nargs="*", help="of the command line of cnnexp")
    options = parser.parse_args()
    words = [*absolute(options.words or GENERATED), f"dataset.image_size={SIZE}",
             "model.weights=null", "visualization=none"]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = [*words, "paths.cache=cache"]
        frozen = done(ours("experiment=vgg16_frozen", f"trainer.max_epochs={EPOCHS}", *own), folder)
        print(f"cnnexp: {frozen.seconds:.0f} s for {EPOCHS} epochs of the head", flush=True)
        done(ours("experiment=vgg16_finetune", "phases.head.epochs=1", "phases.finetune.epochs=3",
                  *own), folder)  # fmt: skip
        rows = newest_run(folder)["phases"]["finetune"]["history"]
        ends = [row["elapsed_s"] for row in rows]
        epoch_s = statistics.median(b - a for a, b in itertools.pairwise(ends))
        print(f"cnnexp: {epoch_s:.1f} s for an epoch with block5", flush=True)
        overrides = ["experiment=vgg16_frozen", *words]
        config, images = loaded(overrides)
        write_folders(images, folder / "images")
        policies = ["float32", *(["mixed_bfloat16"] if precision_of(config) != "32-true" else [])]
        for policy in policies:
            script = [str(SIDES / "keras_transfer.py"), "images", str(SIZE),
                      str(options.keras_epochs), policy]  # fmt: skip
            ran = done([options.keras, *script], folder)
            found = ran.last_line()
            once = statistics.median(found["frozen_s"])
            rest = ran.seconds - sum(found["frozen_s"]) - sum(found["finetune_s"])
            theirs = rest + EPOCHS * once
            tuned = statistics.median(found["finetune_s"])
            print(
                f"Keras, {policy}: {theirs:.0f} s for {EPOCHS} epochs of the head "
                f"({theirs / frozen.seconds:.1f} times cnnexp's), {tuned:.0f} s for an epoch with "
                f"block5 ({tuned / epoch_s:.1f} times)",
                flush=True,
            )


def write_folders(images: ImageSet, folder: Path) -> None:
    """<split>/<class>/<number>.jpg"""
    for part in ("train", "validation"):
        for index in images.split[part]:
            of_class = folder / part / images.classes[images.labels[index]]
            of_class.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.images[index]).save(of_class / f"{index}.jpg", quality=95)


if __name__ == "__main__":
    main()
