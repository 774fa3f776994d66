"""A server's settings: the file that shows them all, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.load import load_serving
from configs.serving import Batch, Limits, Runtime, Serving

DEPLOY = Path(__file__).parents[2] / "configs" / "deploy"


def test_the_file_that_shows_them_all_says_the_defaults():
    usual, shown = Serving().model_dump(), load_serving(DEPLOY / "serve.toml").model_dump()
    usual["runtime"]["calls"] = shown["runtime"]["calls"]  # as many as cores
    assert shown == usual


def test_it_shows_every_key():
    text = (DEPLOY / "serve.toml").read_text()
    shown = set(re.findall(r"^(?:# )?(\w+) = ", text, re.MULTILINE))
    expected = {*Serving.model_fields} - {"limits", "runtime", "logs", "explore", "experiments"}
    for section in ("limits", "runtime", "logs", "explore"):
        annotation = Serving.model_fields[section].annotation
        fields = getattr(annotation, "model_fields", None) or annotation.__args__[0].model_fields
        expected |= {*fields} - {"batch"}
    assert expected <= shown


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("port=70000", "port"),
        ("limits.deadline=0", "limits.deadline"),
        ("limits.queue=true", "limits.queue"),
        ("runtime.batch.size=0", "runtime.batch.size"),
        ("api_key=short", "api_key"),
        ("clock=sun", "clock"),
        ("nothing=1", "nothing: unknown key"),
    ],
)
def test_what_cannot_be_is_named(override, names):
    with pytest.raises(ConfigError, match=names) as error:
        load_serving(None, [override])
    assert "\n" not in str(error.value)


def test_nobody_else_is_answered_unless_told():
    assert Serving().host == "127.0.0.1"


def test_the_unit_and_the_image_run_the_command():
    assert "twinspire serve " in (DEPLOY / "twinspire.service").read_text()
    docker = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in docker
    for folder in re.findall(r"^COPY (\w+) \w+$", docker, re.MULTILINE):
        assert (DEPLOY.parents[1] / folder / "__init__.py").is_file()


def test_there_is_room_for_full_batches_and_for_those_that_wait():
    runtime = Runtime(calls=2, batch=Batch(size=8))
    assert Serving(runtime=runtime, limits=Limits(queue=5)).room == 21
