"""What an installed package holds: every folder of code, or what imports it breaks outside of a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def test_every_folder_of_code_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    code = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in ("configs", "towers", "serving", "pipelines")
        for file in (ROOT / top).rglob("*.py")
    }
    assert sorted(listed) == sorted(code)
