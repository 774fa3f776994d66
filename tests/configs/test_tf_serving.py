"""Files for a real TF Serving: its own parser of them is protobuf's text format, and so is ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

FOLDER = Path(__file__).parents[2] / "configs" / "tf-serving"

# The fields that TF Serving documents (`serving_config.md`, the batching guide); text has no field numbers.
SCHEMA = """
syntax = "proto3";
message Value { int64 value = 1; }
message Specific { repeated int64 versions = 1; }
message Latest { uint32 num_versions = 1; }
message Policy { oneof choice { Latest latest = 1; Specific specific = 2; } }
message Model {
  string name = 1; string base_path = 2; string model_platform = 3; Policy model_version_policy = 4;
  map<string, int64> version_labels = 5;
}
message Models { repeated Model config = 1; }
message ModelServer { Models model_config_list = 1; }
message Batching {
  Value max_batch_size = 1; Value batch_timeout_micros = 2; Value max_enqueued_batches = 3; Value num_batch_threads = 4;
  repeated int64 allowed_batch_sizes = 5; bool pad_variable_length_inputs = 6;
}
message Prometheus { bool enable = 1; string path = 2; }
message Monitoring { Prometheus prometheus_config = 1; }
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    (folder / "config.proto").write_text(SCHEMA)
    compiled = folder / "config.binpb"
    arguments = [f"-I{folder}", f"--descriptor_set_out={compiled}", str(folder / "config.proto")]
    # a process of its own: where TensorFlow is loaded the compiler crashes
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.Add(file)

    def parse(name: str, message: str):
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(message))
        return text_format.Parse((FOLDER / name).read_text(), kind())

    return parse


def test_labels_name_versions_that_are_served(read):
    for model in read("models.config", "ModelServer").model_config_list.config:
        assert model.model_platform == "tensorflow"
        assert {*model.version_labels} == {"stable", "canary"}
        assert {*model.version_labels.values()} <= {*model.model_version_policy.specific.versions}


def test_batches_are_never_padded(read):
    """It pads with a list's first value, which would be an item that nobody sent."""
    found = read("batching.config", "Batching")
    assert not found.pad_variable_length_inputs
    assert found.max_batch_size.value >= found.num_batch_threads.value > 0


def test_metrics_are_on(read):
    found = read("monitoring.config", "Monitoring").prometheus_config
    assert found.enable
    assert found.path.startswith("/")
