"""torch.export's archive: read by torch alone, in Python, and compiled by it for C++."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from cnnexp.exporting.program import silent

ABOUT = "classes.json"  # the extra file


def write_torch(program: ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The file, with `about` in its extra file classes.json."""
    file = io.BytesIO()
    text = json.dumps(about, ensure_ascii=False, indent=2)
    with silent():
        torch.export.save(program, file, extra_files={ABOUT: text})
    return file.getvalue()


def load_torch(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Images (B, 3, S, S) uint8 -> probabilities (B, K), by torch on the CPU."""
    with silent():
        program = torch.export.load(io.BytesIO(content)).module()

    def answer(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return program(torch.from_numpy(images)).numpy()

    return answer
