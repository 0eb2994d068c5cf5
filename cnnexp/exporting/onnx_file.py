"""ONNX: read by onnxruntime and the tools of browsers, phones and small devices."""

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from cnnexp.errors import InputError
from cnnexp.exporting.program import BATCH, silent

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18  # of 2022: the lowest that torch translates to, read by onnxruntime since 1.14


def check_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"format=onnx: needs {', '.join(missing)}; pip install 'cnnexp[export]', "
            "or use format=torch"
        )


def write_onnx(program: ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The file: `images` -> `probabilities`; `about` in its metadata, JSON but for plain text."""
    with silent():
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: BATCH},),  # names the dimension
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    for key, value in about.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)
    return model.SerializeToString()


def load_onnx(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Images (B, 3, S, S) uint8 -> probabilities (B, K), by onnxruntime on the CPU."""
    with silent():
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # its own count is the machine's
        options.log_severity_level = 3  # errors; it writes past Python's stderr
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]
