"""Every kind of feature: what is missing, unknown and known, from raw columns to vectors."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from configs.features import Feature
from towers.backend import keras, tf
from towers.dropout import Randomness
from towers.features import Embed, IdEmbedding, Preprocess, _standardised, encode, statistics
from towers.lookup import FIRST_KNOWN, UNKNOWN
from towers.words import tower_words

FIRST, SECOND, THIRD = FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + 2
DAY, WEEK = 86_400, 604_800


def _feature(kind, **settings):
    table = "events" if kind == "time" else "items"
    return TypeAdapter(Feature).validate_python({"name": "f", "table": table, "kind": kind} | settings)


def _strings(*values):
    return np.array(values, object)


def _encoded(feature, fitted_on, values):
    fitted = json.loads(json.dumps(statistics([feature], {"f": fitted_on})))  # as it is stored
    return encode(Preprocess([feature], fitted), {"f": values})["f"]


@pytest.mark.parametrize("kind", ["id", "category"])
def test_ids_and_categories_are_missing_unknown_or_known(kind):
    encoded = _encoded(_feature(kind), _strings("b", "a", "", "b"), _strings("", "never", "a", "b"))
    assert encoded.tolist() == [0, UNKNOWN, FIRST, SECOND]


def test_a_category_that_is_missing_everywhere_can_still_be_encoded():
    assert _encoded(_feature("category"), _strings("", ""), _strings("", "x")).tolist() == [0, UNKNOWN]


def test_leading_dimensions_of_ids_are_kept():
    feature = _feature("id")
    preprocess = Preprocess([feature], statistics([feature], {"f": _strings("a", "b")}))
    assert preprocess({"f": tf.constant([["a", ""], ["x", "b"]])})["f"].numpy().tolist() == [[2, 0], [1, 3]]


def test_several_categories_are_padded_with_zero():
    fitted_on = _strings("rock|pop", "", "jazz")  # jazz, pop, rock
    encoded = _encoded(_feature("multi_category"), fitted_on, _strings("pop", "rock|never|jazz", ""))
    assert encoded.tolist() == [[SECOND, 0, 0], [THIRD, UNKNOWN, FIRST], [0, 0, 0]]


def test_the_separator_is_the_features_own_and_no_pattern():
    encoded = _encoded(_feature("multi_category", separator="."), _strings("a.b"), _strings("b.a", "a"))
    assert encoded.tolist() == [[SECOND, FIRST], [FIRST, 0]]


def test_blocks_of_different_width_are_joined():
    feature = _feature("multi_category")
    preprocess = Preprocess([feature], statistics([feature], {"f": _strings("a|b|c")}))
    encoded = encode(preprocess, {"f": _strings("a", "b", "c|a|b")}, block=2)["f"]
    assert encoded.tolist() == [[2, 0, 0], [3, 0, 0], [4, 2, 3]]


def test_text_is_lower_case_words_without_punctuation_padded_or_cut_to_length():
    feature = _feature("text", length=3)
    fitted_on = _strings("red shoe", "red hat", "red shoe")  # by frequency: red, shoe, hat
    encoded = _encoded(feature, fitted_on, _strings("Hat, RED!", "red red shoe hat", "", "green"))
    assert encoded.tolist() == [[THIRD, FIRST, 0], [FIRST, FIRST, SECOND], [0, 0, 0], [UNKNOWN, 0, 0]]


def test_text_that_is_empty_everywhere_can_still_be_encoded():
    assert _encoded(_feature("text", length=2), _strings("", ""), _strings("", "word")).tolist() == [[0, 0], [1, 0]]


def _vocabulary(texts, **settings):
    return statistics([_feature("text", **settings)], {"f": _strings(*texts)})["f"]["vocabulary"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("赤い靴。赤い", ["赤い", "い靴"]),  # no pair across punctuation
        ("iPhone用の革ケース", ["iphone", "用の", "の革", "革ケ", "ケー", "ース"]),
        ("Красный ÄPFEL ΣΟΦΌΣ İzmir", ["красный", "äpfel", "σοφός", "izmir"]),
        ("«Größe» \u2013 “don\u2019t” re-do", ["größe", "dont", "redo"]),
        ("10\u00a0kg\u3000米", ["10", "kg", "米"]),
        ("\ufefftitle co\u00adop 赤\u2060い", ["title", "coop", "赤い"]),  # what is not seen parts nothing
        ("one\x85two\x00three", ["one", "two", "three"]),
        ("🧥coat \u309b Brand™ 👩\u200d💻❤\ufe0f 50€", ["coat", "brand", "50"]),
    ],
)
def test_text_in_any_script_is_words(text, words):
    assert sorted(_vocabulary([text])) == sorted(words)


def test_text_with_spaces_is_what_keras_makes_of_it():
    rng = np.random.default_rng(0)
    letters = [*map(chr, range(32, 127)), *"àéîõüßçøæœłñžšđ", *"абвгдежзийклмнопрстуфхцчшщъыьэюяё", *" " * 30]
    texts = ["".join(rng.choice(letters, 40)) for _ in range(200)]
    theirs = keras.layers.TextVectorization()
    theirs.adapt(tf.constant(texts))
    assert _vocabulary(texts, words=100_000) == [str(word) for word in theirs.get_vocabulary()[2:]]


def test_the_graph_finds_the_words_that_python_finds():
    rng = np.random.default_rng(0)
    kinds = [
        "赤靴新商品番号々𠮷",
        "いのはがでアカゾー",
        "สีแดงที่ใหม่",
        "ສີແດງ",
        "နီသောဖိနပ်",
        "ស្បែកជើងក្រហម",
        "लाल जूते",
        "الأحمر",
    ]
    kinds += ["red SHOE 42", "красные ТУФЛИ", "Größe İÉ", "!?'\u2019-_(", "。、「」・…—", " \u3000\u00a0\u200b\t"]

    def text():
        return "".join("".join(rng.choice([*kinds[rng.integers(len(kinds))]], 4)) for _ in range(12))

    texts = [text() for _ in range(500)]
    expected = [tower_words(one) for one in texts]
    vocabulary = sorted({word for one in expected for word in one})
    preprocess = Preprocess([_feature("text", words=100_000, length=60)], {"f": {"vocabulary": vocabulary}})
    rows = encode(preprocess, {"f": _strings(*texts)})["f"]
    named = ["", "unknown to Python", *vocabulary]
    assert [[named[index] for index in row if index] for row in rows] == expected


def _graph_words(texts):
    return [[word.decode() for word in row] for row in tf.strings.split(_standardised(_strings(*texts))).to_list()]


def _lowered_alike(characters):
    """Without the capitals that are younger than the ICU of TensorFlow, which leaves them as they are."""
    lowered = tf.strings.lower(_strings(*characters), encoding="utf-8").numpy()
    return [one for one, low in zip(characters, lowered, strict=True) if low.decode() == one.lower()]


def test_the_graph_parts_at_the_characters_at_which_python_does():
    planes = [*range(1, 0xD800), *range(0xE000, 0x32000), *range(0xE0000, 0xE0200), *range(0xFFF00, 0x110000, 997)]
    known = _lowered_alike([chr(code) for code in planes])
    assert len(planes) - len(known) < 100
    texts = ["".join(f" x{one}y" for one in known[start : start + 64]) for start in range(0, len(known), 64)]
    for text, found in zip(texts, _graph_words(texts), strict=True):
        assert found == tower_words(text)


_TELLING = "aB\u00ad\ufeff\u0085\x00\u200b\u200d\ufe0f🧥゛™คิ赤い靴アИΣİ_'. "
_KINDS = ["Ll", "Lm", "Lo", "M", "N", "P", "S", "Z", "Cc", "Cf", "Cn", "Co"]
_ANY = st.sampled_from([None, *_KINDS]).flatmap(
    lambda kind: st.characters(categories=[kind]) if kind else st.sampled_from(_TELLING)
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(_ANY, max_size=30), min_size=1, max_size=20))
def test_the_graph_reads_any_text_as_python_does(texts):
    assert _graph_words(texts) == [tower_words(text) for text in texts]


def test_numbers_are_standardised():
    encoded = _encoded(_feature("number"), np.array([1, 3], np.float32), np.array([2, 4], np.float32))
    np.testing.assert_allclose(encoded, [[0], [2]])


def test_logged_numbers_keep_their_sign():
    fitted_on = np.array([-(np.e - 1), np.e - 1], np.float32)  # logs -1 and 1
    encoded = _encoded(_feature("number", log=True), fitted_on, np.array([np.e**2 - 1, 0, 1 - np.e], np.float32))
    np.testing.assert_allclose(encoded, [[2], [0], [-1]], atol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, 16.3, 22.57, 1e6])
def test_a_constant_number_says_nothing(value, log):
    column = np.full(7, value, np.float32)
    encoded = _encoded(_feature("number", log=log), column, column[:1])
    assert abs(encoded[0, 0]) < 1e-3


def test_time_is_cyclical_in_hour_of_day_and_day_of_week():
    monday = 4 * DAY + 1000 * WEEK  # 1970-01-01 was a Thursday: the angle of the week starts there
    encoded = _encoded(_feature("time"), np.zeros(1, np.int64), np.array([monday, monday + DAY // 4, monday + WEEK]))
    week = 2 * np.pi * 4 / 7
    np.testing.assert_allclose(encoded[0], [0, 1, np.sin(week), np.cos(week)], atol=1e-6)
    np.testing.assert_allclose(encoded[1][:2], [1, 0], atol=1e-6)
    np.testing.assert_array_equal(encoded[2], encoded[0])


def test_time_keeps_single_seconds():
    now = 1_700_000_000
    encoded = _encoded(_feature("time"), np.zeros(1, np.int64), np.array([now, now + 1]))
    angle = np.diff(np.arctan2(encoded[:, 0].astype(float), encoded[:, 1].astype(float)))[0]
    assert angle == pytest.approx(2 * np.pi / DAY, rel=0.01)


def test_vectors_pass_as_they_are_and_must_have_their_width():
    feature = _feature("vector", width=2)
    values = np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(_encoded(feature, values, values), values)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        Preprocess([feature], {"f": {}})({"f": tf.ones([2, 3])})


def test_embed_joins_every_kind_to_one_vector():
    settings = {
        "id": {"dimension": 5},
        "category": {"dimension": 2},
        "multi_category": {"dimension": 3},
        "number": {},
        "text": {"dimension": 4, "length": 3},
        "time": {},
        "vector": {"width": 2, "dimension": 6},
    }
    features = [_feature(kind, **more).model_copy(update={"name": kind}) for kind, more in settings.items()]
    columns = {
        "id": _strings("a", "b"),
        "category": _strings("x", ""),
        "multi_category": _strings("x|y", ""),
        "number": np.array([1, 2], np.float32),
        "text": _strings("one two", ""),
        "time": np.array([0, 1]),
        "vector": np.ones((2, 2), np.float32),
    }
    fitted = statistics(features, columns)
    embed = Embed(features, fitted, Randomness(0))
    vector = embed(encode(Preprocess(features, fitted), columns)).numpy()
    assert vector.shape == (2, 5 + 2 + 3 + 1 + 4 + 4 + 6)
    assert (vector[1, 7:10] == 0).all()  # no category at all: an empty bag
    assert (vector[1, 11:15] == 0).all()  # no word
    bags = embed.tables["multi_category"].table.embeddings.numpy()
    np.testing.assert_allclose(vector[0, 7:10], bags[2:4].mean(axis=0), rtol=1e-5)


def test_what_is_learned_of_columns_is_plain_json():
    features = [_feature("text"), _feature("number").model_copy(update={"name": "n"})]
    fitted = statistics(features, {"f": _strings("b a", "a"), "n": np.array([1, 2], np.float32)})
    assert json.loads(json.dumps(fitted)) == fitted
    assert fitted == {"f": {"vocabulary": ["a", "b"]}, "n": {"mean": 1.5, "std": 0.5}}


class TestIdEmbedding:
    def test_rare_ids_use_the_unknown_row(self):
        embedding = IdEmbedding(6, 3, 0.0, Randomness(0))
        embedding.set_known(np.array([0, 0, 5, 1, 2]), min_count=2)  # index 5 is in no count at all
        rows, table = embedding(tf.range(6)).numpy(), embedding.table.embeddings.numpy()
        np.testing.assert_array_equal(rows, table[[0, UNKNOWN, 2, UNKNOWN, 4, UNKNOWN]])

    def test_ids_are_hidden_in_training_at_the_rate_that_is_set(self):
        embedding = IdEmbedding(4, 3, 0.3, Randomness(0))
        index = tf.fill([20_000], 3)
        rows = embedding(index, training=True).numpy()
        table = embedding.table.embeddings.numpy()
        hidden = (rows == table[UNKNOWN]).all(axis=1)
        assert hidden.mean() == pytest.approx(0.3, abs=0.02)
        assert (rows[~hidden] == table[3]).all()

    def test_no_id_is_hidden_outside_training(self):
        embedding = IdEmbedding(4, 3, 0.9, Randomness(0))
        rows = embedding(tf.fill([1000], 3)).numpy()
        assert (rows == embedding.table.embeddings.numpy()[3]).all()

    def test_an_id_that_becomes_known_starts_from_the_unknown_row_and_others_stay(self):
        embedding = IdEmbedding(5, 3, 0.0, Randomness(0))
        embedding(tf.range(5))
        embedding.set_known(np.array([0, 0, 9, 0, 0]), min_count=1)
        before = embedding.table.embeddings.numpy().copy()
        embedding.set_known(np.array([0, 0, 9, 9, 0]), min_count=1)
        after = embedding.table.embeddings.numpy()
        np.testing.assert_array_equal(after[3], before[UNKNOWN])
        np.testing.assert_array_equal(after[[0, 1, 2, 4]], before[[0, 1, 2, 4]])
        np.testing.assert_array_equal(embedding(tf.constant([3])).numpy()[0], before[UNKNOWN])

    def test_before_the_weights_are_made_nothing_is_handed_on(self):
        embedding = IdEmbedding(5, 3, 0.0, Randomness(0))
        embedding.set_known(np.array([0, 0, 9, 9, 9]), min_count=1)
        rows = embedding(tf.range(2, 5)).numpy()
        assert len(np.unique(rows, axis=0)) == 3
