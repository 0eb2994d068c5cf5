"""What a run does not wait for before its first step."""

import subprocess
import sys

LATER = {"sklearn", "pandas", "mlflow", "captum", "onnx", "optuna"}


def test_what_is_imported_where_it_is_needed() -> None:
    code = f"import sys, cnnexp.tasks.train; print({LATER!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
