"""What is told of a run when it has ended."""

import pytest

from cnnexp.recording import figures_of_merit


def test_images_per_second_are_those_of_all_epochs() -> None:
    """100 images in a second, then 100 in a third of one: 200 in 4/3 of a second."""

    def phase(*speeds: float) -> dict[str, object]:
        history = [
            {"epoch": i, "val/loss": 1.0, "images_per_s": speed} for i, speed in enumerate(speeds)
        ]
        return {"history": history, "best_epoch": 0, "train_s": 1.0, "steps": 1}

    merit = figures_of_merit({"head": phase(100.0), "rest": phase(300.0)}, None, "val/loss")
    assert merit["images_per_s"] == pytest.approx(150)
