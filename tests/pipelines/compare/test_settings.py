from __future__ import annotations

from pipelines.compare.settings import Setting, differing
from tests.pipelines.report.runs import make_config


def test_only_keys_that_differ_are_named_with_the_value_in_each_run(tmp_path) -> None:
    one, two = make_config(tmp_path), make_config(tmp_path, towers={"embedding_dim": 32, "temperature": 0.1})
    assert differing([one, two, one]) == (Setting("towers.embedding_dim", ("64", "32", "64")),)
    assert differing([one, one]) == ()


def test_features_are_known_by_name_whatever_their_order(tmp_path) -> None:
    one = make_config(tmp_path)
    region, item = one.features[1], one.features[0]
    changed = region.model_copy(update={"dimension": 4})
    assert differing([one, one.model_copy(update={"features": (region, item)})]) == ()
    found = differing([one, one.model_copy(update={"features": (changed, item)})])
    assert found == (Setting("features.region.dimension", ("16", "4")),)


def test_a_feature_that_one_run_lacks_is_named(tmp_path) -> None:
    one = make_config(tmp_path)
    dropped = one.model_copy(update={"features": one.features[:1]})
    found = {setting.key: setting.values for setting in differing([one, dropped])}
    assert found["features.region.kind"] == ('"category"', "")
