"""The generators that training draws from."""

import random

import numpy as np
import torch


def set_generators(seed: int, device: str) -> None:
    """Torch's, also that of a device, "cuda" or "mps", and those of Python and numpy, which
    people's own augmentations may use.
    """
    # torch.manual_seed formats the stack for each kind of device that is not there: 0.5 ms.
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if device == "cuda":
        torch.cuda.manual_seed(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)
