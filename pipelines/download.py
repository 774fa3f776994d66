"""Fetching the publisher's own archives: checked, unpacked with care, and put in place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from configs.errors import UserError
from pipelines.sources.movielens import FILES

BASE = "https://files.grouplens.org/datasets/movielens"
CHUNK = 1 << 20
UNPACKED_LIMIT = 1 << 30  # bytes; the largest archive here unpacks to a fortieth of it


class DownloadError(UserError):
    """The data set could not be fetched."""


@dataclass(frozen=True)
class Dataset:
    """A published archive: its file name, the sha256 of that file, and the folder that it holds."""

    archive: str
    sha256: str
    folder: str


DATASETS = {
    "movielens-1m": Dataset("ml-1m.zip", "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20", "ml-1m"),
    "movielens-100k": Dataset(
        "ml-100k.zip", "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229", "ml-100k"
    ),
}


def download(name: str, out: Path, base: str = BASE, timeout: float = 30) -> Path:
    """Fetch a data set into a folder of its own below `out`, unless it is there, and return that folder.

    `base` is where the archives are; `timeout` is in seconds, for each wait on the network.
    Raises: DownloadError.
    """
    if name not in DATASETS:
        raise DownloadError(f"download: found {name!r}, expected one of {', '.join(DATASETS)}")
    dataset, console = DATASETS[name], Console(stderr=True)
    target = out / dataset.folder
    if all((target / file).is_file() for file in FILES[name]):
        console.print(f"{name} is already there: {target}", highlight=False, soft_wrap=True)
        return target
    if target.exists():
        raise DownloadError(
            f"download: {target} exists but lacks some of {', '.join(FILES[name])}; move it away and run again"
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=out) as work:
        archive = Path(work) / dataset.archive
        url = f"{base}/{dataset.archive}"
        by_hand = f"to do it by hand, unpack {dataset.archive} so that {target / FILES[name][0]} is there"
        found = _fetch(url, archive, timeout, console, by_hand)
        if found != dataset.sha256:
            raise DownloadError(
                f"download: {url} has the wrong sha256, so it was removed: found {found}, expected {dataset.sha256}"
            )
        _unpack(archive, Path(work) / "unpacked")
        unpacked = Path(work) / "unpacked" / dataset.folder
        missing = [file for file in FILES[name] if not (unpacked / file).is_file()]
        if missing:
            raise DownloadError(f"download: {dataset.archive} lacks {', '.join(missing)} in {dataset.folder}/")
        os.rename(unpacked, target)
    console.print(f"{name} is in {target}", highlight=False, soft_wrap=True)
    return target


def _fetch(url: str, archive: Path, timeout: float, console: Console, by_hand: str) -> str:
    """Write the body of `url` to `archive`; returns its sha256."""
    digest = hashlib.sha256()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with (
            urllib.request.urlopen(url, timeout=timeout) as response,
            archive.open("wb") as file,
            Progress(*columns, console=console) as progress,
        ):
            total = response.headers.get("Content-Length")
            task = progress.add_task(archive.name, total=int(total) if total else None)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                progress.update(task, advance=len(chunk))
    except urllib.error.HTTPError as error:
        raise DownloadError(f"download: {url} answered {error.code} {error.reason}; {by_hand}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"download: {urlsplit(url).netloc} could not be reached ({reason}); {by_hand}") from None
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Extract regular files only, inside `folder` only. Raises: DownloadError."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            for entry in entries:
                _refuse_unsafe(archive.name, entry)
            total = sum(entry.file_size for entry in entries)
            if total > UNPACKED_LIMIT:
                raise DownloadError(
                    f"download: {archive.name} would unpack to {total} bytes, expected at most {UNPACKED_LIMIT}"
                )
            for entry in entries:
                path = folder / entry.filename
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)  # never more than file_size, else zipfile raises
    except zipfile.BadZipFile as error:
        raise DownloadError(f"download: {archive.name} is no sound zip archive: {error}") from None


def _refuse_unsafe(archive: str, entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in str(path) or not path.parts:
        raise DownloadError(f"download: {archive} holds the unsafe path {entry.filename!r}; nothing was unpacked")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DownloadError(f"download: {archive} holds {entry.filename!r}, which is no regular file or folder")
