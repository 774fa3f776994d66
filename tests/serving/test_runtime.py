"""The runtime against what TensorFlow itself answers.

A process of its own builds the models and writes down what `tf.saved_model.load` answers, so that the process
under test can do without TensorFlow.
"""

import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serving.runtime import RuntimeFailure, Session, _config, scann_library, signature_table

ROOT = Path(__file__).parents[2]
ODD = [
    "",
    "a",
    "né",
    "日本語",
    "🎬 film",
    "tab\tnewline\n",
    "nul\0inside",
    "x" * 22,
    "y" * 23,
    "z" * 24,
    "w" * 5000,
]
FIRST_WEIGHT = 0.25


def strings(values):
    return np.array(values, dtype=object)


CASES = {
    "lookup": {"words": strings([[*ODD, "unknown"], [*reversed(ODD), "né "]])},
    "keras": {"words": strings([["né", "日本語", "nobody"], ["x" * 22, "w" * 5000, ""]])},
    "dtypes": {
        "float32": np.array([1.5, -0.0, np.inf], np.float32),
        "float64": np.array([1e300, np.nan, -2.0]),
        "int32": np.array([-(2**31), 0, 2**31 - 1], np.int32),
        "int64": np.array([-(2**63), 0, 2**63 - 1]),
        "bool": np.array([True, False, True]),
        "string": strings([b"\xff\x00raw", "né", "v" * 100]),
    },
    "fixed": {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "k": np.array(3, np.int32)},
    "pick": {"index": np.array([0, 4, 0], np.int32)},
}
EMPTY = {
    "lookup": {"words": np.empty((0, 7), object)},
    "keras": {"words": np.empty((2, 0), object)},
    "dtypes": {name: value[:0] for name, value in CASES["dtypes"].items()},
    "fixed": {"x": np.empty((0, 3), np.float32), "k": np.array(3, np.int32)},
    "pick": {"index": np.empty(0, np.int32)},
}


def build(directory):
    """Runs in the builder's process: the models, their tables, and TensorFlow's own answers."""
    import tensorflow as tf
    import tf_keras
    from scann import scann_ops

    spec = tf.TensorSpec

    class Kinds(tf.Module):
        def __init__(self):
            keys, values = tf.constant(ODD), tf.range(len(ODD), dtype=tf.int64)
            initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
            self.table = tf.lookup.StaticHashTable(initializer, default_value=-1)
            self.layer = tf_keras.layers.StringLookup(vocabulary=[word for word in ODD if word])
            self.weights = tf.Variable(tf.fill([5, 1_000_000], FIRST_WEIGHT))

        @tf.function(input_signature=[spec([None, None], tf.string, "words")])
        def lookup(self, words):
            return {"ids": self.table.lookup(words), "lengths": tf.strings.length(words)}

        @tf.function(input_signature=[spec([None, None], tf.string, "words")])
        def keras(self, words):
            return {"ids": self.layer(words)}

        @tf.function(input_signature=[spec([None], value, value) for value in CASES["dtypes"]])
        def dtypes(self, float32, float64, int32, int64, bool, string):
            half = {"float32": float32 / 2, "float64": float64 / 2, "int32": int32 // 2, "int64": int64 // 2}
            return {**half, "bool": ~bool, "string": tf.strings.join([string, "!"]), "same": string}

        @tf.function(input_signature=[spec([None, 3], tf.float32, "x"), spec([], tf.int32, "k")])
        def fixed(self, x, k):
            return {"sum": tf.reduce_sum(x, 1), "scaled": x * tf.cast(k, tf.float32), "k": k}

        @tf.function(input_signature=[spec([None], tf.int32, "index")])
        def pick(self, index):
            return {"weight": tf.gather(self.weights, index)[:, 0]}

    class Neighbours(tf.Module):
        def __init__(self, items):
            builder = scann_ops.builder(items, 5, "dot_product").tree(10, 5).score_ah(2).reorder(50)
            self.state = builder.build().serialize_to_module()

        @tf.function(input_signature=[spec([None, 16], tf.float32, "queries")])
        def search(self, queries):
            ids, scores = scann_ops.searcher_from_module(self.state).search_batched(queries)
            return {"ids": ids, "scores": scores}

    random = np.random.default_rng(0)
    queries = {"queries": random.normal(size=(4, 16)).astype(np.float32)}
    models = {
        "kinds": (Kinds(), {**CASES, **{f"{name} empty": case for name, case in EMPTY.items()}}),
        "neighbours": (Neighbours(random.normal(size=(500, 16)).astype(np.float32)), {"search": queries}),
    }
    for name, (module, cases) in models.items():
        path, answers = Path(directory) / name, []
        functions = {case.split()[0] for case in cases}
        tf.saved_model.save(module, str(path), {function: getattr(module, function) for function in functions})
        loaded = tf.saved_model.load(str(path))
        for case, inputs in cases.items():
            function = loaded.signatures[case.split()[0]]
            given = {key: tf.constant(value, function.structured_input_signature[1][key].dtype)
                     for key, value in inputs.items()}  # fmt: skip
            outputs = {key: value.numpy() for key, value in function(**given).items()}
            answers.append((case.split()[0], inputs, outputs))
        (path / "answers.pickle").write_bytes(pickle.dumps(answers))
        (path / "table.json").write_text(json.dumps(signature_table(path)))
    wanted = {
        "intra_op_parallelism_threads": 2,
        "inter_op_parallelism_threads": -1,
        "device_count": {"GPU": 0},
        "graph_options": {"rewrite_options": {"meta_optimizer_iterations": 1, "optimizers": ["pruning", "function"]}},
    }
    assert tf.compat.v1.ConfigProto.FromString(_config(2)) == tf.compat.v1.ConfigProto(**wanted)
    assert tf.compat.v1.ConfigProto.FromString(_config(127)).intra_op_parallelism_threads == 127


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    code = "import sys; from tests.serving.test_runtime import build; build(sys.argv[1])"
    done = python(code, directory)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        **{
            path.name: SimpleNamespace(
                path=path,
                table=json.loads((path / "table.json").read_text()),
                answers=pickle.loads((path / "answers.pickle").read_bytes()),
            )
            for path in directory.iterdir()
        }
    )


@pytest.fixture(scope="module")
def session(models):
    with Session(models.kinds.path, models.kinds.table, threads=2) as session:
        yield session


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def resident():
    """This process's resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_the_table_is_plain_data(models):
    assert sorted(models.kinds.table) == sorted(CASES)
    fixed = models.kinds.table["fixed"]["inputs"]
    assert fixed["x"]["shape"] == [None, 3]
    assert fixed["x"]["dtype"] == "float32"
    assert fixed["k"]["shape"] == []
    assert models.kinds.table["lookup"]["inputs"]["words"]["dtype"] == "string"
    assert models.kinds.table["lookup"]["inputs"]["words"]["shape"] == [None, None]


def test_answers_are_those_of_tensorflow(models, session):
    assert len(models.kinds.answers) == len(CASES) + len(EMPTY)
    for signature, inputs, expected in models.kinds.answers:
        assert_same(session.run(signature, inputs), expected)


def test_lookup_worked_out_by_hand(session):
    ids = session.run("lookup", {"words": strings([["né", "nobody", "z" * 24]])})["ids"]
    assert ids.tolist() == [[2, -1, 9]]


@pytest.mark.parametrize(
    "words",
    [
        np.array([["a", "né"]]),
        np.array([[b"a", "né".encode()]]),
        np.array([["a", "né".encode()]], dtype=object),
        np.asfortranarray(np.array([["a", "né"], ["b", "c"]], dtype=object))[:1],
        [["a", "né"]],
    ],
    ids=["U", "S", "object", "strided", "list"],
)
def test_strings_come_in_any_array(session, words):
    assert session.run("lookup", {"words": words})["ids"].tolist() == [[1, 2]]


@pytest.mark.parametrize("x", [np.arange(6.0).reshape(2, 3).astype(">f4"), np.arange(6, dtype="f4").reshape(3, 2).T])
def test_arrays_come_in_any_byte_order_and_layout(session, x):
    outputs = session.run("fixed", {"x": x, "k": np.int32(1)})
    assert outputs["scaled"].tolist() == x.tolist()


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("absent", {}, r"'absent'.*expected one of .*'lookup'"),
        ("lookup", {}, r"'lookup'.*found inputs \[\], expected \['words'\]"),
        ("pick", {"index": [1], "more": [1]}, r"'pick'.*\['index', 'more'\], expected \['index'\]"),
        ("pick", {"index": np.array([1])}, r"'pick'.*'index'.*int64, expected int32"),
        ("pick", {"index": np.array(["1"])}, r"'pick'.*'index'.*<U1, expected int32"),
        ("pick", {"index": np.array([1], object)}, r"'pick'.*'index'.*object, expected int32"),
        ("pick", {"index": np.int32(1)}, r"'pick'.*'index'.*shape \[\], expected \[None\]"),
        ("lookup", {"words": np.array([[1]])}, r"'lookup'.*'words'.*int64, expected string"),
        ("lookup", {"words": strings([[1.5]])}, r"'lookup'.*'words'.*expected str or bytes"),
        ("lookup", {"words": strings([["\ud800"]])}, r"'lookup'.*'words'.*expected str or bytes"),
        ("lookup", {"words": strings(["a"])}, r"'lookup'.*'words'.*shape \[1\], expected \[None, None\]"),
        ("fixed", {"x": np.zeros((2, 4), "f4"), "k": np.int32(1)}, r"'x'.*\[2, 4\], expected \[None, 3\]"),
        ("fixed", {"x": np.zeros((2, 3)), "k": np.int32(1)}, r"'fixed'.*'x'.*float64, expected float32"),
    ],
)
def test_wrong_inputs_are_named(session, signature, inputs, message):
    with pytest.raises(ValueError, match=message) as raised:
        session.run(signature, inputs)
    assert "\n" not in str(raised.value)


def test_outputs_that_are_named_come_alone(session):
    every = session.run("dtypes", CASES["dtypes"])
    for names in (["same"], ["string", "int32"], ("int32", "string", "int32"), [*every]):
        assert_same(session.run("dtypes", CASES["dtypes"], names), {name: every[name] for name in names})


@pytest.mark.parametrize("names", [[], ["total"], ["sum", "x"], "sum", [3]])
def test_outputs_that_there_are_not_are_refused(session, names):
    with pytest.raises(ValueError, match=r"'fixed': found outputs \[.*\], expected some of \['k', 'scaled', 'sum'\]$"):
        session.run("fixed", CASES["fixed"], names)


def test_numbers_are_widened(session):
    inputs = {
        **CASES["dtypes"],
        "int64": np.array([2, 4, 6], np.int32),
        "float64": np.array([1, 2, 3], np.float32),
    }
    outputs = session.run("dtypes", inputs)
    assert outputs["int64"].tolist() == [1, 2, 3]
    assert outputs["float64"].tolist() == [0.5, 1.0, 1.5]


def test_an_error_inside_the_model_is_one_line(session):
    with pytest.raises(RuntimeFailure, match=r"^INVALID_ARGUMENT: .*99") as raised:
        session.run("pick", {"index": np.array([99], np.int32)})
    assert raised.value.code == "INVALID_ARGUMENT"
    assert "\n" not in str(raised.value)
    assert session.run("pick", CASES["pick"])["weight"].tolist() == [FIRST_WEIGHT] * 3


def growth_over_calls(directory):
    """Runs in a process of its own: MB that 3,000 rounds of calls leave behind."""
    words = strings([[f"{'long' * 250} {i}" for i in range(20)]])
    passed = {**CASES["dtypes"], "string": strings(["p" * 5000, "", "q" * 5000])}  # one output shares them
    x = {"x": np.zeros((2000, 3), np.float32), "k": np.int32(1)}
    path = Path(directory)

    def rounds(count):
        for _ in range(count):
            session.run("lookup", {"words": words})
            session.run("dtypes", passed)
            session.run("fixed", x)
            with pytest.raises(RuntimeFailure):
                session.run("pick", {"index": np.array([99], np.int32)})

    with Session(path, json.loads((path / "table.json").read_text()), threads=2) as session:
        rounds(200)
        before = resident()
        rounds(3000)
        print(resident() - before)


def growth_over_sessions(directory, close=True):
    """Runs in a process of its own: MB that twelve sessions leave behind, closed or dropped, after as many to warm
    up."""
    path = Path(directory)
    table = json.loads((path / "table.json").read_text())

    def cycle():
        session = Session(path, table)
        session.run("pick", CASES["pick"])
        if close:
            session.close()

    for _ in range(12):
        cycle()
    before = resident()
    for _ in range(12):
        cycle()
    print(resident() - before)


# 20 KB of strings a round would make 60 MB, a tensor left behind 24 KB a round; sessions' variables alone are 240 MB.
@pytest.mark.parametrize(
    ("measure", "named", "most"),
    [("growth_over_calls", "", 5), ("growth_over_sessions", "", 80), ("growth_over_sessions", ", close=False", 80)],
)
def test_memory_is_flat(models, measure, named, most):
    done = python(f"from tests.serving.test_runtime import {measure} as m; m({str(models.kinds.path)!r}{named})")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < most


def test_threads_get_their_own_answers(session):
    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(200):
            ids = random.integers(0, len(ODD), (random.integers(1, 5), random.integers(1, 9)))
            words = strings(ODD)[ids]
            np.testing.assert_array_equal(session.run("lookup", {"words": words})["ids"], ids)
            x = random.normal(size=(3, 3)).astype(np.float32)
            np.testing.assert_array_equal(session.run("fixed", {"x": x, "k": np.int32(2)})["scaled"], x * 2)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_run_after_close_raises(models):
    session = Session(models.kinds.path, models.kinds.table)
    session.close()
    session.close()
    with pytest.raises(RuntimeFailure, match=r"^FAILED_PRECONDITION: .*closed"):
        session.run("pick", CASES["pick"])


def test_close_waits_for_calls(models):
    session = Session(models.kinds.path, models.kinds.table)
    started, answers = threading.Barrier(5), []

    def until_closed():
        while True:
            answers.append(session.run("pick", CASES["pick"])["weight"].tolist())

    def work():
        started.wait()
        with pytest.raises(RuntimeFailure, match="FAILED_PRECONDITION"):
            until_closed()
        return True

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        started.wait()
        while len(answers) < 50:
            time.sleep(0.001)
        session.close()
        assert all(worker.result(timeout=10) for worker in workers)
    assert all(answer == [FIRST_WEIGHT] * 3 for answer in answers)


@pytest.mark.parametrize("missing", [".", "saved_model.pb", "variables", "variables/variables.data-00000-of-00001"])
def test_a_model_with_a_part_missing_is_refused(models, tmp_path, missing):
    path = tmp_path / "model"
    shutil.copytree(models.kinds.path, path)
    shutil.rmtree(path / missing) if (path / missing).is_dir() else (path / missing).unlink()
    with pytest.raises(RuntimeFailure, match=r"^[A-Z_]+: ") as raised:
        Session(path, models.kinds.table)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("tensor", ["nowhere:0", "StatefulPartitionedCall:99"])
def test_a_table_of_another_model_is_refused(models, tensor):
    table = {"x": {"inputs": {}, "outputs": {"y": {"tensor": tensor, "dtype": "int32", "shape": None}}}}
    with pytest.raises(RuntimeFailure, match=f"NOT_FOUND: .*'{tensor}'"):
        Session(models.kinds.path, table)


def test_dtypes_that_cannot_be_carried_are_refused(models):
    table = {"x": {"inputs": {"y": {"tensor": "pick_index:0", "dtype": "complex64", "shape": None}}, "outputs": {}}}
    with pytest.raises(ValueError, match=r"'x', 'y': found complex64, expected one of"):
        Session(models.kinds.path, table)


@pytest.mark.parametrize("threads", [0, 128])
def test_threads_out_of_range_are_refused(models, threads):
    with pytest.raises(ValueError, match=f"threads: found {threads}"):
        Session(models.kinds.path, models.kinds.table, threads=threads)


def test_a_missing_library_is_refused(models):
    with pytest.raises(RuntimeFailure, match=r"^NOT_FOUND: .*absent\.so"):
        Session(models.kinds.path, models.kinds.table, op_libraries=[Path("absent.so")])


def test_scann_runs_with_its_library(models):
    library = scann_library()
    assert library is not None
    with Session(models.neighbours.path, models.neighbours.table, op_libraries=[library]) as session:
        for signature, inputs, expected in models.neighbours.answers:
            assert_same(session.run(signature, inputs), expected)


NEVER_IMPORTED = """
import json, sys
from pathlib import Path
import numpy as np
from serving.runtime import RuntimeFailure, Session, scann_library

path = Path(sys.argv[1])
table = json.loads((path / "table.json").read_text())
try:
    Session(path, table)
except RuntimeFailure as failure:
    print(failure)
with Session(path, table, op_libraries=[scann_library()], threads=1) as session:
    print(session.run("search", {"queries": np.ones((2, 16), "f4")})["ids"].shape)
assert "hashlib" not in sys.modules
import hashlib, ssl  # TensorFlow's libraries hold an SSL of their own, which must not replace Python's
hashlib.new("sha512_256", b"x"), ssl.create_default_context()
print([name for name in sys.modules if name.split(".")[0] in ("tensorflow", "scann", "keras", "tf_keras")])
"""


def test_tensorflow_is_never_imported_and_nothing_is_logged(models):
    # In one process: without its library the ScaNN model is refused, and once the library is loaded it runs.
    done = python(NEVER_IMPORTED, models.neighbours.path)
    assert done.returncode == 0, done.stderr
    refused, shape, imported = done.stdout.splitlines()
    assert refused.startswith("NOT_FOUND: Op type not registered 'Scann>")
    assert shape == "(2, 5)"
    assert imported == "[]"
    assert done.stderr == ""
