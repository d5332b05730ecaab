# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the links of the pages in a tarball, which lacks some of the checkout's files.

Usage: python tests/tarball.py TARBALL

A link of the README must be absolute or lead to one of its own headings, because Galaxy shows the page alone. Any other
link without a host must lead to a file of the tarball, and to an anchor of that page.
"""

from __future__ import annotations

import posixpath
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "unit" / "docs"))
import pages


def dead_links(files: dict[str, str]) -> list[str]:
    """Return the links that lead nowhere.

    Args:
        files: the text of each page by its path in the tarball; of every other file an empty one.
    """
    found = []
    for page in sorted(path for path in files if path.endswith(".md")):
        for link in pages.targets(files[page]):
            path, _hash, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
            if "://" in link or link.startswith("mailto:"):
                continue
            if page == "README.md" and path:
                found.append(f"{page}: {link}: must be absolute")
            elif target not in files:
                found.append(f"{page}: {link}: is not in the tarball")
            elif anchor and anchor not in pages.anchors_in(files[target]):
                found.append(f"{page}: {link}: there is no such anchor")
    return found


def read(tarball: str) -> dict[str, str]:
    files = {}
    with tarfile.open(tarball) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.name.endswith(".md") else None
            files[member.name] = content.read().decode() if content else ""
    return files


def main(tarball: str) -> int:
    files = read(tarball)
    found = dead_links(files)
    if not {"README.md", "docs/index.md", "docs/docsite/links.yml"} <= set(files):
        found.append(f"{tarball}: a page is missing")
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
