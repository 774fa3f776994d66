"""How the command line ends: one line, and an exit code that says whether it can be mended."""

import errno
import sys

import pytest

from configs.errors import DataError
from pipelines import cli

OOM = (
    "Graph execution error:\n\n"
    + "stack\n" * 99
    + "OOM when allocating tensor with shape[9,9] and type float on a/device:GPU:0"
)


class ResourceExhaustedError(Exception):
    """TensorFlow's, without its import."""

    __module__ = "tensorflow.python.framework.errors_impl"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("data: mend it"), 2, "error: data: mend it\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'\n"),
        (
            ResourceExhaustedError(OOM),
            2,
            "error: memory ran out: no room for a tensor of [9,9] float on GPU:0; lower train.batch",
        ),
        (OSError("28800 requested and 11232 written"), 2, "error: no space left on the disk; free some and run"),
        (RuntimeError("a\nb"), 1, "error: unexpected RuntimeError: a b (twinspire --debug ... shows where)\n"),
    ],
)
def test_an_error_is_one_line(error, code, said, monkeypatch, capsys):
    def fails():
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which `main` replaces
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1
