"""What a model says of itself over REST: `/metadata` and the status of its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.tfserving.models import VersionState

# of the data types that `serving.runtime` carries
DTYPES = {
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "int32": "DT_INT32",
    "uint8": "DT_UINT8",
    "string": "DT_STRING",
    "int64": "DT_INT64",
    "bool": "DT_BOOL",
}
METHOD = "tensorflow/serving/predict"  # of every signature here


def status(states: Sequence[VersionState]) -> dict[str, Any]:
    """`GetModelStatusResponse` as JSON, in which 64-bit numbers are texts."""
    return {
        "model_version_status": [
            {
                "version": str(one.number),
                "state": one.state,
                "status": {"error_code": one.code, "error_message": one.message},
            }
            for one in states
        ]
    }


def metadata(name: str, number: int, signatures: Mapping[str, Any]) -> dict[str, Any]:
    """`GetModelMetadataResponse` as JSON, of a `runtime.signature_table`."""
    described = {
        signature: {
            "inputs": {tensor: _tensor(row) for tensor, row in table["inputs"].items()},
            "outputs": {tensor: _tensor(row) for tensor, row in table["outputs"].items()},
            "method_name": METHOD,
        }
        for signature, table in signatures.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(number)},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def _tensor(row: Mapping[str, Any]) -> dict[str, Any]:
    """`TensorInfo`: a dimension of any size is -1."""
    sizes = [-1 if size is None else size for size in row["shape"] or []]
    return {
        "dtype": DTYPES[row["dtype"]],
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in sizes],
            "unknown_rank": row["shape"] is None,
        },
        "name": row["tensor"],
    }
