"""Downloads against a real server on this machine: nothing unchecked, unsafe or half-written is left behind."""

from __future__ import annotations

import hashlib
import io
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines import download as module
from pipelines.download import DATASETS, Dataset, DownloadError, download
from pipelines.sources.movielens import FILES

GOOD = {f"ml-1m/{name}": f"contents of {name}" for name in FILES["movielens-1m"]}
Serve = Callable[[dict[str, str] | bytes], str]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Publish an archive with these entries (and its checksum); returns the base address."""
    root = tmp_path / "published"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(entries: dict[str, str] | bytes) -> str:
        body = entries if isinstance(entries, bytes) else archive_of(entries)
        (root / "ml-1m.zip").write_bytes(body)
        sha256 = hashlib.sha256(body).hexdigest()
        monkeypatch.setitem(DATASETS, "movielens-1m", Dataset("ml-1m.zip", sha256, "ml-1m"))
        return f"http://127.0.0.1:{server.server_port}"

    yield publish
    server.shutdown()
    server.server_close()


def archive_of(entries: dict[str, str], mode: int = stat.S_IFREG | 0o644) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def nothing_left(out: Path) -> bool:
    return not out.exists() or not list(out.iterdir())


def test_the_folder_appears_whole(serve: Serve, tmp_path: Path) -> None:
    folder = download("movielens-1m", tmp_path / "data", serve({"ml-1m/": "", **GOOD}))
    assert folder == tmp_path / "data" / "ml-1m"
    assert {f"ml-1m/{file.name}": file.read_text() for file in folder.iterdir()} == GOOD
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["ml-1m"]


def test_what_is_there_is_not_fetched_again(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = download("movielens-1m", tmp_path, serve(GOOD))
    assert download("movielens-1m", tmp_path, "http://127.0.0.1:9") == folder
    assert "already there" in capsys.readouterr().err


def test_a_wrong_checksum_names_both_and_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    base = serve(GOOD)
    found = DATASETS["movielens-1m"].sha256
    DATASETS["movielens-1m"] = Dataset("ml-1m.zip", "0" * 64, "ml-1m")
    with pytest.raises(DownloadError, match=rf"wrong sha256.*found {found}, expected 0{{64}}"):
        download("movielens-1m", tmp_path / "data", base)
    assert nothing_left(tmp_path / "data")


def test_no_network_says_which_host_and_where_to_put_the_files(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        download("movielens-1m", tmp_path / "data", "http://127.0.0.1:9", timeout=2)
    text = str(caught.value)
    assert "127.0.0.1:9 could not be reached" in text
    assert f"unpack ml-1m.zip so that {tmp_path / 'data' / 'ml-1m' / 'ratings.dat'} is there" in text
    assert "\n" not in text
    assert nothing_left(tmp_path / "data")


def test_a_refusal_of_the_server_names_its_status(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/gone/ml-1m.zip answered 404"):
        download("movielens-1m", tmp_path / "data", serve(GOOD) + "/gone")


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "ml-1m/../../evil", "ml-1m\\..\\..\\evil", "C:/evil"])
def test_unsafe_paths_are_refused(serve: Serve, tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadError, match="unsafe path"):
        download("movielens-1m", tmp_path / "data", serve({**GOOD, name: "x"}))
    assert nothing_left(tmp_path / "data")
    assert not (tmp_path / "evil").exists()


def test_links_are_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no regular file"):
        download("movielens-1m", tmp_path / "data", serve(archive_of(GOOD, stat.S_IFLNK | 0o777)))
    assert nothing_left(tmp_path / "data")


def test_archives_that_unpack_to_too_much_are_refused(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNPACKED_LIMIT", 1_000)
    with pytest.raises(DownloadError, match=r"would unpack to 2\d{3} bytes, expected at most 1000"):
        download("movielens-1m", tmp_path / "data", serve({**GOOD, "ml-1m/README": "x" * 2_000}))
    assert nothing_left(tmp_path / "data")


@pytest.mark.parametrize(
    ("body", "message"), [(b"no zip", "no sound zip"), (archive_of({"ml-1m/README": "x"}), "lacks ratings")]
)
def test_archives_without_the_files_are_refused(serve: Serve, tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        download("movielens-1m", tmp_path / "data", serve(body))
    assert nothing_left(tmp_path / "data")


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "mine").write_text("keep")
    with pytest.raises(DownloadError, match="exists but lacks"):
        download("movielens-1m", tmp_path)
    assert (tmp_path / "ml-1m" / "mine").read_text() == "keep"


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="found 'netflix', expected one of movielens-1m, movielens-100k"):
        download("netflix", tmp_path)
