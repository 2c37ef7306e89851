"""A KServe model server for the ONNX models of a version, as a serving runtime would run them.

    python kserve_server.py VERSION/onnx PORT

Runs where kserve and onnxruntime are installed, and aegan is not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import get_predict_response


class Function(Model):
    """One ONNX model, under the name of its folder."""

    def __init__(self, folder: Path):
        super().__init__(folder.name)
        self._session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"))
        self.ready = True

    def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        ranks = {item.name: len(item.shape) for item in self._session.get_inputs()}
        arrays = {item.name: item.as_numpy() for item in payload.inputs}
        # The protocol has no scalars: they come as [1].
        given = {n: a if ranks[n] else a.reshape(()) for n, a in arrays.items()}
        (answer,) = self._session.run(None, given)
        return get_predict_response(payload, answer, self.name)


if __name__ == "__main__":
    folders = [path for path in sorted(Path(sys.argv[1]).iterdir()) if path.is_dir()]
    server = ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1)
    server.start([Function(folder) for folder in folders])
