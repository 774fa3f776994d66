"""Arrays through real graphs: what comes back is what went in, and a graph holds nothing of an array's memory."""

import ctypes
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from serving.c_api import functions
from serving.runtime import RuntimeFailure, Session, signature_table
from serving.tensors import DTYPES, Value, to_tensor
from tests.serving.test_runtime import python, resident

LENGTHS = (0, 1, 2, 21, 22, 23, 24, 25, 100, 5000)  # of texts: TensorFlow keeps up to 22 bytes in place
SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0), (2, 5), (1, 1, 4), (2, 3, 1, 2)]
NUMBERS = [name for name in DTYPES if name != "string"]


def build(directory):
    """Runs in the builder's process: graphs that pass on what they are fed, say what they see of it, and keep it."""
    import tensorflow as tf

    def passing(dtype):
        @tf.function(input_signature=[tf.TensorSpec(None, dtype, "x")])
        def same(x):
            return {"same": tf.identity(x), "flat": tf.reshape(x, [-1])}

        return same

    class Keeping(tf.Module):
        def __init__(self):
            self.numbers = tf.Variable(np.zeros(1), shape=[None])
            self.texts = tf.Variable([""], shape=[None])

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.float64, "numbers"), tf.TensorSpec([None], tf.string, "texts")]
        )
        def keep(self, numbers, texts):
            self.numbers.assign(numbers)
            self.texts.assign(texts)
            return {"count": tf.size(numbers)}

        @tf.function(input_signature=[])
        def kept(self):
            return {"numbers": tf.identity(self.numbers), "texts": tf.identity(self.texts)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
        def seen(self, x):
            return {
                "length": tf.strings.length(x),
                "twice": tf.strings.join([x, x]),
                "number": tf.strings.to_hash_bucket_fast(x, 1 << 40),
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x"), tf.TensorSpec([], tf.int32, "at")])
        def one(self, x, at):
            return {"one": tf.gather(x, at)}

    module = Keeping()
    signatures = {name: getattr(module, name) for name in ("keep", "kept", "seen", "one")}
    signatures |= {dtype: passing(dtype) for dtype in DTYPES}
    tf.saved_model.save(module, directory, signatures)
    (Path(directory) / "table.json").write_text(json.dumps(signature_table(Path(directory))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passing")
    done = python("import sys; from tests.serving.test_tensors import build; build(sys.argv[1])", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def session(folder):
    with Session(folder, json.loads((folder / "table.json").read_text()), threads=1) as session:
        yield session


def random_numbers(rng, dtype, shape):
    """Any bits at all, but of booleans, which are 0 or 1."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(rng.bytes(size), dtype).reshape(shape)


def random_texts(rng, shape, kinds=(bytes, str)):
    """Texts about as long as what fits in place; bytes of any value, or str of up to four bytes a character."""

    def one():
        length = int(rng.choice(LENGTHS))
        if kinds[rng.integers(len(kinds))] is bytes:
            return rng.bytes(length)
        return "".join(rng.choice([*"a é日🎬\0\n"], length // 2))

    found = np.empty(int(np.prod(shape)), object)
    found[:] = [one() for _ in range(found.size)]
    return found.reshape(shape)


def as_bytes(texts):
    found = np.empty(texts.shape, object)
    found.reshape(-1)[:] = [text if isinstance(text, bytes) else text.encode() for text in texts.reshape(-1)]
    return found


def assert_same_bits(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if expected.dtype == object:
        assert found.tolist() == expected.tolist()
    else:
        assert found.tobytes() == expected.tobytes()  # nan among them


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_come_back_bit_by_bit(session, dtype):
    rng = np.random.default_rng(0)
    for shape in [*SHAPES, (1000, 300)]:
        array = random_numbers(rng, dtype, shape)
        answer = session.run(dtype, {"x": array})
        assert_same_bits(answer["same"], array)
        assert_same_bits(answer["flat"], array.reshape(-1))
        answer["same"][...] = 1  # the caller's own
        answer["flat"][...] = 0
        assert answer["same"].all()


def test_texts_come_back_byte_by_byte(session):
    rng = np.random.default_rng(1)
    for shape in [*SHAPES * 20, (3000,)]:
        texts = random_texts(rng, shape)
        answer = session.run("string", {"x": texts})
        assert_same_bits(answer["same"], as_bytes(texts))
        assert_same_bits(answer["flat"], as_bytes(texts).reshape(-1))


def test_tensorflow_reads_the_texts_that_were_given_and_gives_those_that_it_made(session):
    rng = np.random.default_rng(2)
    for size in (0, 1, 5, 200):
        texts = random_texts(rng, (size,))
        given = as_bytes(texts).tolist()
        answer = session.run("seen", {"x": texts})
        assert answer["length"].tolist() == [len(text) for text in given]
        assert answer["twice"].tolist() == [text + text for text in given]
    edges = [b"x" * length for length in range(60)] + [b"x" * 10 + b"\0" * zeros for zeros in range(1, 20)]
    answer = session.run("seen", {"x": np.array(edges, object)})
    assert answer["twice"].tolist() == [text + text for text in edges]
    assert len(set(answer["number"].tolist())) == len(edges)  # by its bytes alone: none is taken for another


@pytest.mark.parametrize("length", range(40))
def test_texts_lie_in_a_tensor_as_tensorflow_writes_them(length):
    api = functions()
    text = b"x" * length
    ours = to_tensor(Value("string", (1,), [text]))
    theirs = to_tensor(Value("string", (1,), [b""]))
    api.TF_StringCopy(api.TF_TensorData(theirs), text, length)
    same = 24 if length <= 22 else 16  # the address of a longer one is its own
    blocks = [ctypes.string_at(api.TF_TensorData(tensor), same) for tensor in (ours, theirs)]
    assert blocks[0] == blocks[1]
    for tensor in (ours, theirs):
        api.TF_DeleteTensor(tensor)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_arrays_of_any_layout_are_read_in_order(session, dtype):
    rng = np.random.default_rng(3)
    array = random_numbers(rng, dtype, (6, 8))
    swapped = array.astype(array.dtype.newbyteorder(">"))
    for view in (array.T, array[::-1, ::2], array[1:, 3:], np.asfortranarray(array), swapped, array[2, 5]):
        expected = np.ascontiguousarray(view, dtype).reshape(view.shape)
        assert_same_bits(session.run(dtype, {"x": view})["same"], expected)
    unaligned = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(dtype)
    assert_same_bits(session.run(dtype, {"x": unaligned})["same"], array.reshape(-1))


def test_texts_of_any_layout_are_read_in_order(session):
    texts = random_texts(np.random.default_rng(4), (6, 8), (bytes,))
    for view in (texts.T, texts[::-1, ::2], np.asfortranarray(texts)):
        assert_same_bits(session.run("string", {"x": view})["same"], view)
    for array in (np.array([["a", "日本"], ["", "z" * 30]]), np.array([b"a", b"b" * 30])):
        assert session.run("string", {"x": array})["same"].tolist() == as_bytes(array.astype(object)).tolist()


def test_what_a_graph_keeps_is_its_own(session):
    """A variable that is given what was fed may share its memory: an array that is changed or gone must not show."""
    rng = np.random.default_rng(5)
    for size in (1, 64, 20_000):
        numbers, texts = rng.normal(size=size), random_texts(rng, (size,), (bytes,))
        wanted, words = numbers.tolist(), [bytes(bytearray(text)) for text in texts]
        session.run("keep", {"numbers": numbers, "texts": texts})
        numbers[:], texts[:] = 0, b"gone"
        del numbers, texts
        gc.collect()
        np.full(size, 7.0), [b"other" * 8 for _ in range(size)]
        kept = session.run("kept", {})
        assert kept["numbers"].tolist() == wanted
        assert kept["texts"].tolist() == words
        kept["numbers"][:], kept["texts"][:] = 1, b""
        assert session.run("kept", {})["numbers"].tolist() == wanted


def test_temporaries_of_many_threads_are_not_mixed_up(session):
    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(150):
            shape = SHAPES[rng.integers(len(SHAPES))]
            texts, numbers = random_texts(rng, shape, (bytes,)), rng.normal(size=shape)
            assert_same_bits(session.run("string", {"x": texts.T.copy()})["same"], texts.T)
            assert_same_bits(session.run("float64", {"x": numbers.T * 1.0})["same"], numbers.T * 1.0)
            with pytest.raises(RuntimeFailure):
                session.run("one", {"x": texts.reshape(-1), "at": np.int32(-5)})
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def growth(directory):
    """Runs in a process of its own: MB that 4,000 rounds of calls leave behind, of 50 KB each; a third of them fail."""
    table = json.loads((Path(directory) / "table.json").read_text())
    rng = np.random.default_rng(0)
    texts = np.array([rng.bytes(length) for length in (5, 22, 23, 40, 300) for _ in range(40)], object)
    numbers = rng.normal(size=(40, 50))

    def rounds(count):
        for _ in range(count):
            session.run("string", {"x": texts}, ["same"])
            session.run("float64", {"x": numbers.T})
            with pytest.raises(RuntimeFailure):
                session.run("one", {"x": texts, "at": np.int32(-5)})
            with pytest.raises(ValueError, match="expected str or bytes"):
                session.run("one", {"x": np.array(["a", 5], object), "at": np.int32(0)})

    with Session(Path(directory), table, threads=1) as session:
        rounds(300)
        before = resident()
        rounds(4000)
        print(resident() - before)


def test_nothing_is_left_behind(folder):
    done = python(f"from tests.serving.test_tensors import growth; growth({str(folder)!r})")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 5


@pytest.mark.parametrize(("signature", "kind", "said"), [("string", "outputs", "int64"), ("int32", "inputs", "string")])
def test_a_table_of_other_dtypes_is_refused(folder, signature, kind, said):
    """Numbers that were read as texts would be addresses."""
    table = json.loads((folder / "table.json").read_text())
    for row in table[signature][kind].values():
        row["dtype"] = said
    with pytest.raises(
        RuntimeFailure, match=rf"^INVALID_ARGUMENT: the signatures call '.*' {said}, the model does not"
    ):
        Session(folder, table)
