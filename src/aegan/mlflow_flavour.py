"""`MLmodel`: what lets `mlflow.pyfunc.load_model` load a published version, without aegan.

MLflow's own ONNX flavour runs the ONNX model of `score`: `predict` takes examples [N, *shape] in raw
units and returns a dictionary of `scores` [N]. The flavour looks for its settings beside the model, too.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import yaml

FUNCTION = "score"
PROVIDERS = ["CPUExecutionProvider"]


def write(dataset: dict[str, Any], version: Path) -> None:
    """Write `MLmodel` into a version's folder, and beside its ONNX model of scores.

    Args:
        dataset: the tree of dataset.json.
        version: folder that holds `onnx` already.
    """
    beside = version / "onnx" / FUNCTION / "1"
    for folder, data in ((version, f"onnx/{FUNCTION}/1/model.onnx"), (beside, "model.onnx")):
        text = yaml.safe_dump(_description(dataset, data), sort_keys=True)
        (folder / "MLmodel").write_text(text, "utf-8")


def _description(dataset: dict[str, Any], data: str) -> dict[str, Any]:
    examples = _tensor("examples", dataset["raw_dtype"], [-1, *dataset["element_shape"]])
    return {
        "flavors": {
            "onnx": {"data": data, "providers": PROVIDERS},
            "python_function": {
                "data": data,
                "loader_module": "mlflow.onnx",
                "python_version": platform.python_version(),
            },
        },
        "signature": {
            "inputs": json.dumps([examples]),
            "outputs": json.dumps([_tensor("scores", "float32", [-1])]),
            "params": None,
        },
    }


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
