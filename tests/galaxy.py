# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a tarball as Galaxy would, and fail on an error or any warning.

Usage: python tests/galaxy.py TARBALL
"""

from __future__ import annotations

import logging
import sys
import tempfile

from galaxy_importer import config, main


class Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


def import_strictly(tarball: str) -> list[str]:
    """Import a tarball, and return the importer's complaints."""
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    with tempfile.TemporaryDirectory() as scratch:
        strict = {"check_required_tags": True, "require_v1_or_greater": True, "run_flake8": True}
        settings = config.Config({**strict, "ansible_local_tmp": scratch, "tmp_root_dir": scratch})
        main.setup_logger(settings)
        arguments = main.parse_args([tarball])
        if main.call_importer(arguments, settings) is None and not complaints.seen:
            complaints.seen.append("the importer gave no result")
    return complaints.seen


if __name__ == "__main__":
    found = import_strictly(sys.argv[1])
    sys.exit(f"{len(found)} complaints: " + "\n".join(found) if found else 0)
