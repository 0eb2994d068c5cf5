"""What is told of a run when it has ended."""

import pytest

from cnnexp.recording import figures_of_merit


def test_images_per_second_are_those_of_all_epochs() -> None:
    """100 images in a second, then 100 in a third of one, twice."""

    def phase(*speeds: float) -> dict[str, object]:
        history = [
            {"epoch": i, "val/loss": 1.0 + i, "val/f1": 0.5, "images_per_s": speed}
            for i, speed in enumerate(speeds)
        ]
        return {"history": history, "best_epoch": 0, "train_s": 1.0, "steps": 1}

    merit = figures_of_merit({"head": phase(100.0), "rest": phase(300.0, 300.0)}, None)
    assert merit["images_per_s"] == pytest.approx(180)  # 300 in 5/3 of a second
    assert (merit["best/val/loss"], merit["best/val/f1"]) == (1.0, 0.5), "of the epoch 0"
