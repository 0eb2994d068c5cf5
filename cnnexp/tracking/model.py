"""The trained network in MLflow: exported by torch.export, no pickle, checked before it is kept."""

import importlib
import logging
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from cnnexp.errors import first_line
from cnnexp.exporting.program import silent, standalone

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "data/model.pt2"  # where mlflow.pytorch puts it


class NotExportable(Exception):
    """The network, as it is: another attempt would end alike."""


def log_network(
    client: "MlflowClient",
    experiment_id: str,
    run_id: str,
    network: nn.Module,
    example: np.ndarray,
    classes: Sequence[str],
) -> str:
    """Keep `network` as the run's model "model", unless it has one: a run that was killed after
    that, and goes on, trains no more. Its URI, for mlflow.pytorch.load_model.

    example: (B, 3, H, W) uint8, B >= 2. The exported graph takes uint8, any batch size, this H
    and W: the type is part of a graph, and uint8 is what image files hold.
    Raises NotExportable where the network cannot be exported, or answers otherwise after it was.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    # What an attempt left that the server did not live to see the end of.
    outputs = client.get_run(run_id).outputs
    kept = {output.model_id for output in outputs.model_outputs} if outputs else set()
    for left in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if left.model_id not in kept:
            client.delete_logged_model(left.model_id)
    if kept:
        return f"models:/{kept.pop()}"
    model = client.create_logged_model(
        experiment_id, name="model", source_run_id=run_id, model_type="image classifier"
    )
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            save_network(network, example, classes, folder, model, run_id)
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    except BaseException:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return f"models:/{model.model_id}"


def save_network(
    network: nn.Module,
    example: np.ndarray,
    classes: Sequence[str],
    folder: Path,
    model: Any = None,
    run_id: str | None = None,
) -> None:
    """A folder in MLflow's model format. model: the mlflow LoggedModel it is for, if any.

    Raises NotExportable.
    """
    flavor = _pytorch_flavor()
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    network = standalone(network)
    with torch.no_grad():
        logits = network(torch.from_numpy(example)).numpy()
    height, width = example.shape[2:]
    options = {
        "mlflow_model": Model(
            run_id=run_id,
            model_id=model and model.model_id,
            model_uuid=model and model.model_id,
            artifact_path=model and model.artifact_location,
        ),
        "signature": ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, 3, height, width))]),
            outputs=Schema([TensorSpec(logits.dtype, (-1, logits.shape[1]))]),
        ),
        "input_example": example,
        "metadata": {"classes": list(classes)},
        # Named, for otherwise MLflow starts a process that loads the model to find them out.
        "pip_requirements": [f"torch=={re.sub('[+].*', '', torch.__version__)}"],
        "serialization_format": "pt2",
    }
    try:
        with silent():
            flavor.save_model(network, folder, **options)
    except OSError:  # the disk, not the network
        raise
    except Exception as error:
        raise NotExportable(f"it cannot be exported: {first_line(error)}") from error
    _check(folder / FILE, example, logits)


def _pytorch_flavor() -> ModuleType:
    """mlflow.pytorch, whose import silences the root logger (basicConfig(level=ERROR), 3.17)."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own code
            importlib.import_module("mlflow.pyfunc")
            return importlib.import_module("mlflow.pytorch")
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def _check(path: Path, example: np.ndarray, logits: np.ndarray) -> None:
    loaded = torch.export.load(path).module()
    for count in (1, len(example)):  # a batch size that was not exported, too
        with torch.no_grad():
            answer = loaded(torch.from_numpy(example[:count])).numpy()
        if not np.allclose(answer, logits[:count], rtol=1e-3, atol=1e-4):
            raise NotExportable("the exported network answers otherwise than the trained one")
