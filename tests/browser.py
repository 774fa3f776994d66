"""A page in a real browser: what a person would see, measured and photographed in headless Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path

import pytest

# Nothing of the browser's own may call out, or wait for what is not there.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
)
_MEASURE = "--dump-dom"
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_CHECK = Path(__file__).with_name("browser.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Seen:
    """A page as laid out. figures: width and height of each SVG's drawing, by the label of its figure; overflowing:
    elements whose text is wider than their box, or that reach out of the page sideways, with by how many pixels;
    bottoms: where each element with an id ends, in pixels from the top; requests: addresses that it asked for;
    errors: lines of the console; height: of the whole page."""

    figures: dict[str, tuple[float, float]]
    overflowing: tuple[str, ...]
    bottoms: dict[str, float]
    requests: tuple[str, ...]
    errors: tuple[str, ...]
    height: float


def chromium() -> str:
    """The browser's command; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


def look(page: Path, scratch: Path, width: int, height: int, dark: bool = False) -> Seen:
    """Lay out `page` in a window of that size and measure it."""
    done = _run(page, scratch, width, height, dark, _MEASURE)
    told = re.search(r'<pre id="told"[^>]*>(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert told is not None, f"the browser did not answer: {done.stderr[-2000:]}"
    found = json.loads(unescape(told[1]))
    console = tuple(line for line in done.stderr.splitlines() if ":CONSOLE" in line)
    return Seen(
        {label: tuple(size) for label, size in found["figures"].items()},
        tuple(found["overflowing"]),
        found["bottoms"],
        tuple(found["requests"]),
        console + tuple(found["errors"]),
        found["height"],
    )


def photograph(page: Path, to: Path, width: int, height: int, dark: bool = False) -> Path:
    """Write a picture (PNG) of the first `height` pixels of the page."""
    _run(page, to.parent, width, height, dark, f"--screenshot={to}")
    assert to.is_file(), f"no picture of {page}"
    return to


def _run(page: Path, scratch: Path, width: int, height: int, dark: bool, task: str) -> subprocess.CompletedProcess[str]:
    """Show the page in a frame of that very size: a window cannot be as narrow as a phone."""
    text = page.read_text(encoding="utf-8")
    if task == _MEASURE:  # the page forbids all scripts; this copy has one
        text = _POLICY.sub("", text, count=1).replace("</body>", f"<script>{_CHECK}</script></body>")
    frame = scratch / f"frame-of-{page.name}"
    frame.write_text(
        '<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="told" hidden></pre>'
        "<script>onmessage = (event) => { document.getElementById('told').textContent = event.data; };</script>"
        f'<iframe style="border:0;display:block;width:{width}px;height:{height}px" srcdoc="{escape(text)}"></iframe>',
        encoding="utf-8",
    )
    command = [chromium(), *_FLAGS, f"--user-data-dir={scratch / 'profile'}", task, f"--window-size={width},{height}"]
    command += ["--blink-settings=preferredColorScheme=0"] if dark else []
    return subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True)
