"""A model with the signatures of TF Serving's documented examples."""

from __future__ import annotations

import json
from pathlib import Path

from serving.runtime import signature_table
from towers.backend import tf


def export(folder: Path, plus: float = 3.0) -> Path:
    """`half_plus_three`, and beside it: `three` inputs of three kinds, `images` in bytes, `any` rank, `none` at all.

    All but the first give back what they are given.
    """
    module = tf.Module()

    def signature(names: dict[str, tf.TensorSpec], function):
        return tf.function(function, input_signature=[tf.TensorSpec(s.shape, s.dtype, n) for n, s in names.items()])

    def spec(dtype, shape=(None,)):
        return tf.TensorSpec(shape, dtype)

    signatures = {
        "serving_default": signature({"x": spec(tf.float32)}, lambda x: {"y": x / 2 + plus}),
        "three": signature(
            {"tag": spec(tf.string), "signal": spec(tf.int64, [None, 5]), "sensor": spec(tf.float64, [None, 2, 2])},
            lambda tag, signal, sensor: {
                "tag": tf.identity(tag),
                "signal": tf.identity(signal),
                "sensor": tf.identity(sensor),
            },
        ),
        "images": signature(
            {"image": spec(tf.string), "caption": spec(tf.string)},
            lambda image, caption: {"image_bytes": tf.identity(image), "caption": tf.identity(caption)},
        ),
        "any": signature(
            {"x": spec(tf.float32, None)}, lambda x: {"x": tf.identity(x), "size": tf.size(x, out_type=tf.int32)}
        ),
        "kinds": signature(
            {"flag": spec(tf.bool), "small": spec(tf.uint8), "whole": spec(tf.int32)},
            lambda flag, small, whole: {
                "flag": tf.identity(flag),
                "small": tf.identity(small),
                "whole": tf.identity(whole),
            },
        ),
        "picky": signature(
            {"x": spec(tf.int32)}, lambda x: {"y": tf.gather(tf.constant([10, 20, 30]), x, name="pick")}
        ),
    }
    module.functions = signatures
    tf.saved_model.save(module, str(folder), signatures=signatures)
    manifest = {"searcher": "exact", "signatures": signature_table(folder)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
