# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated files of the checkout: write them, or check that they are current."""

from __future__ import annotations

import difflib
import sys
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def update(texts: t.Mapping[Path, str], *, directory: Path | None = None) -> int:
    """Write each text to its path or, with the argument --check, show the differences.

    Args:
        directory: one that has generated files only; any other file in it is not current.

    Returns:
        The exit code: 1 if a file is not current.
    """
    if "--check" not in sys.argv[1:]:
        for path, text in texts.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    existing = {path for path in (*texts, *(directory.iterdir() if directory else ())) if path.exists()}
    current = {path: path.read_text(encoding="utf-8") for path in existing}
    for path in sorted({*current, *texts}):
        old, new = (found.get(path, "").splitlines(keepends=True) for found in (current, texts))
        name = str(path.relative_to(CHECKOUT))
        sys.stdout.writelines(difflib.unified_diff(old, new, name, "as the code documents it"))
    if current != texts:
        print("generated files are not current: run `make reference`")
    return int(current != texts)
