"""Real bundles against the real runtime, the real TensorFlow library, and the command line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.check_server import check_server
from pipelines.check_server.core import read_core
from pipelines.check_server.findings import Finding
from pipelines.check_server.needs import read_needs
from pipelines.check_server.saved_model import required
from pipelines.publish import root_id
from pipelines.upsert import upsert
from serving.c_api import package_file
from serving.manifest import BundleError, newest, verify
from serving.runtime import RuntimeFailure, Session, scann_library, signature_table
from tests.pipelines.check_server.exports import SEARCH
from tests.pipelines.test_publish import resealed
from tests.runs import twinspire
from tests.serving import small
from towers.backend import tf

PARTS = {SEARCH, "Scann>TensorsToScann"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """shop/3 with ScaNN's operations, plain/1, popularity, without, and shop's second export; not to be changed."""
    root = tmp_path_factory.mktemp("bundles")
    model = small.build("scann")
    small.export(model, root / "shop" / "3", name="shop")
    small.export(small.build("ivf"), root / "second", name="shop-core")
    small.export(replace(model, module=small.build_popularity()), root / "plain" / "1")
    return root


@pytest.fixture
def beside(root, tmp_path) -> Path:
    """shop/3 and shop-core/3, two exports of one model."""
    first = resealed(root / "shop" / "3", tmp_path / "shop" / "3", core_export="shop-core")
    of = {"name": "shop", "id": verify(first)["id"]}
    resealed(root / "second", tmp_path / "shop-core" / "3", core_of=of)
    return tmp_path


def upserted(model: Path, added: int = 0, changed: int = 0, removed: int = 0) -> Path:
    """The next version, by its manifest alone."""
    version = newest(model)
    manifest = verify(version)
    done = {"added": added, "changed": changed, "removed": removed}
    done |= {"onto": manifest["id"], "root": root_id(manifest)}
    target = version.with_name(str(int(version.name) + 1))
    return resealed(version, target, upsert=done, items=manifest["items"] + added)


@pytest.fixture(scope="module")
def tensorflow() -> Path:
    path = package_file("tensorflow", "libtensorflow_cc.so.2")
    assert path is not None
    return path


def server_of(folder: Path, operations: frozenset[str]) -> Path:
    """What begins as a binary does, and holds the operations' names."""
    server = folder / "server"
    server.write_bytes(b"\x7fELF\0" + b"".join(name.encode() + b"\0" for name in operations))
    return server


def statuses(found) -> dict[str, str]:
    return {finding.what: finding.status for finding in found.findings}


def test_what_an_export_needs(root):
    needs = read_needs(root / "shop")
    assert (needs.name, needs.version, needs.searcher) == ("shop", 3, "scann")
    assert needs.scann == PARTS
    assert needs.tensorflow == tf.__version__
    assert not read_needs(root / "plain" / "1").scann


def test_operations_are_those_that_the_loader_asks_for(tmp_path):
    """Followed into a loop's body, unlike TensorFlow's own list; not into what nothing calls, unlike all functions."""
    from tensorflow.core.protobuf import saved_model_pb2

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def call(self, x):
            return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.math.lgamma(y)), (0, x))[1]

    module = Model()
    tf.saved_model.save(module, str(tmp_path), {"call": module.call})
    path = tmp_path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    listed = {op.name for op in model.meta_graphs[0].meta_info_def.stripped_op_list.op}
    found, version = required(tmp_path)
    assert version == tf.__version__
    assert "Lgamma" in found - listed
    assert listed < found
    orphan = model.meta_graphs[0].graph_def.library.function.add()
    orphan.signature.name = "nothing_calls_it"
    orphan.node_def.add(name="x", op="Nobody>Knows")
    path.write_bytes(model.SerializeToString())
    assert required(tmp_path)[0] == found
    table = signature_table(tmp_path)
    Session(tmp_path, table).close()
    body = next(
        one for one in model.meta_graphs[0].graph_def.library.function for n in one.node_def if n.op == "Lgamma"
    )
    body.node_def.add(name="y", op="Nobody>Knows")
    path.write_bytes(model.SerializeToString())
    assert required(tmp_path)[0] == found | {"Nobody>Knows"}
    with pytest.raises(RuntimeFailure, match="Nobody>Knows"):
        Session(tmp_path, table).run("call", {"x": np.float32(1)})


@pytest.mark.parametrize(("content", "said"), [(b"\xff\xff\xff", "cannot be read"), (b"", "holds 0 graphs")])
def test_a_graph_that_is_none(tmp_path, content, said):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(BundleError, match=said):
        required(tmp_path)


def test_this_machine_loads_both_and_a_stock_server_only_one(root):
    found = check_server(root / "shop")
    assert found.loads is True
    states = statuses(found)
    assert (states["load"], states["stock server"], states["CPU"]) == ("ok", "missing", "ok")
    refused = next(one.detail for one in found.findings if one.what == "stock server")
    assert "NOT_FOUND: Op type not registered 'Scann>" in refused
    plain = check_server(root / "plain")
    assert (plain.loads, plain.verdict) == (True, "this machine can load it")
    assert statuses(plain) == {"export": "ok", "TensorFlow": "ok", "load": "ok"}
    assert "core TensorFlow alone" in plain.findings[0].detail


def test_a_stock_binary_gets_the_core_export(beside, tensorflow):
    found = check_server(beside / "shop", str(tensorflow))
    assert found.loads is False
    assert found.findings[
        1
    ].detail == f"2 of {len(read_needs(beside / 'shop').operations)} are not in it: " + ", ".join(sorted(PARTS))
    assert statuses(found)["TensorFlow"] == "ok"
    assert found.following == f"serve the core-ops export {beside / 'shop-core' / '3'}"


def test_a_binary_with_scann_in_it(root, tmp_path, tensorflow):
    """ScaNN's library, and the tenth of TensorFlow's that holds its strings."""
    server = tmp_path / "server"
    with server.open("wb") as file, tensorflow.open("rb") as stock:
        file.write(scann_library().read_bytes())
        stock.seek(100 << 20)
        file.write(stock.read(100 << 20))
    found = check_server(root / "shop", str(server))
    assert found.loads is True
    assert found.following.startswith(f"serve {root / 'shop' / '3'}")
    assert statuses(found)["TensorFlow"] == "cannot tell"


def test_the_command(beside, root, tmp_path):
    called = twinspire("check-server", beside / "nothing")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "is no bundle" in called.err
    called = twinspire("check-server", beside / "shop", "grpc://host:8500")
    assert called.code == 2
    assert "error: check-server: found 'grpc://host:8500', expected a URL of http or https, or a file" in called.err
    server = server_of(tmp_path, (read_needs(root / "shop").operations | read_needs(root / "plain").operations) - PARTS)
    called = twinspire("check-server", root / "plain", server)
    assert called.code == 0
    assert called.out.splitlines()[-1] == f"next:         serve {root / 'plain' / '1'}"
    called = twinspire("check-server", root / "shop", server)
    assert called.code == 3
    assert called.out.splitlines()[-1].startswith("next:         run again with index.core_ops = true")
    assert called.err.startswith(f"{server} cannot load it: ")
    assert SEARCH in called.err


def test_a_server_of_an_older_tensorflow_is_not_sent_to_the_core_export(beside, tmp_path):
    shared = "TopKV2"
    operations = read_needs(beside / "shop").operations | read_needs(beside / "shop-core").operations
    server = server_of(tmp_path, operations - PARTS - {shared})
    found = check_server(beside / "shop", str(server))
    assert found.loads is False
    assert found.following == f"use a server that has {shared} too: TensorFlow {tf.__version__} or later"


def test_a_damaged_core_export_is_not_named(beside, tmp_path):
    (beside / "shop-core" / "3" / "saved_model.pb").write_bytes(b"x")
    server = server_of(tmp_path, read_needs(beside / "shop").operations - PARTS)
    found = check_server(beside / "shop", str(server))
    assert statuses(found)["core export"] == "missing"
    assert found.following == "publish shop again, with its second export shop-core"


def core_of(root: Path, version: str = "") -> Finding:
    """The line on the core-ops export beside a version of shop, the newest by default."""
    return read_core(read_needs(root / "shop" / version))[1]


def test_a_stranger_in_the_core_exports_folder_is_not_named(beside, root, tmp_path):
    shutil.rmtree(beside / "shop-core" / "3")
    small.copy(root / "plain" / "1", beside / "shop-core" / "3")
    server = server_of(tmp_path, read_needs(beside / "shop").operations - PARTS)
    found = check_server(beside / "shop", str(server))
    assert found.findings[-1] == Finding("core export", "missing", f"there is none of it in {beside / 'shop-core'}")
    assert found.following == "publish shop again, with its second export shop-core"
    small.copy(root / "shop" / "3", beside / "shop" / "4")  # a model that has none beside what might be one
    assert core_of(beside) == Finding("core export", "missing", "it was exported without one")


def test_the_core_export_is_found_and_held_against_the_first_ones_upserts(beside):
    core = beside / "shop-core"
    assert upsert(beside / "shop", None, compact=True).version.name == "4"
    said = f"it has not had the same upserts (0, the first export 1): run `twinspire upsert {core}` too"
    assert core_of(beside) == Finding("core export", "cannot tell", f"{core / '3'}, searcher ivf; {said}")
    assert upsert(core, None, compact=True).version.name == "4"
    assert core_of(beside) == Finding("core export", "ok", f"{core / '4'}, searcher ivf")
    assert upsert(core, None, remove=["i20"]).version.name == "5"
    said = f"it has not had the same upserts (2, the first export 1): run `twinspire upsert {beside / 'shop'}` too"
    assert core_of(beside) == Finding("core export", "cannot tell", f"{core / '5'}, searcher ivf; {said}")


def test_equal_numbers_are_no_equal_upserts(beside):
    for model, added in (("shop", 1), ("shop", 2), ("shop-core", 2)):
        upserted(beside / model, added=added)
    said = f"(1, the first export 2): run `twinspire upsert {beside / 'shop-core'}` too"
    assert core_of(beside).detail.endswith(said)
    upserted(beside / "shop-core", added=1)  # as many, and as many items, in another order
    assert core_of(beside).status == "cannot tell"
    assert core_of(beside).detail.endswith("2 too, but of other items")
    assert core_of(beside, "4").detail.endswith(f"{beside / 'shop' / '4'} is not the newest version there")


def test_upserts_onto_versions_that_are_not_kept(beside):
    for model in ("shop", "shop-core"):
        upserted(beside / model, added=1)
        upserted(beside / model, removed=1)
    assert core_of(beside).status == "ok"
    shutil.rmtree(beside / "shop-core" / "4")
    assert core_of(beside).status == "cannot tell"
    assert core_of(beside).detail.endswith("cannot be told: not every version in between was kept")
    upserted(beside / "shop-core", changed=1)
    assert core_of(beside).detail.endswith("; it has not had the same upserts")
