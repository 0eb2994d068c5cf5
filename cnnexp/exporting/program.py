"""A trained network as a program of its own: images in, probabilities out, no code of ours."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from cnnexp.logits import to_probabilities

BATCH = Dim("batch")  # a file's batch size is free


class Answers(nn.Module):
    """(B, 3, S, S) uint8 -> probabilities (B, K) float32, K = 2 for a network with one logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return to_probabilities(self.network(images))


def standalone(network: nn.Module) -> nn.Module:
    """A copy for exporting, on the CPU and in float32: a graph stays where it was exported."""
    network = copy.deepcopy(network).cpu().float().eval()
    # torch.export warns of incomplete tensors where weights lie channels-last (2.15).
    return network.to(memory_format=torch.contiguous_format)


def to_program(network: nn.Module, image_size: int) -> ExportedProgram:
    """The graph of `network` and its probabilities, for any number of images of this size."""
    answers = Answers(standalone(network)).eval().requires_grad_(False)
    example = torch.zeros(
        (2, 3, image_size, image_size), dtype=torch.uint8
    )  # 1 would be a constant
    with silent():
        return torch.export.export(answers, (example,), dynamic_shapes=({0: BATCH},))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Exporters warn of their own code, and print whole graphs of what they cannot export."""
    former = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)
