# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a directory of wheels as a package index, and dies when a certain address installs Patroni from it.

That address asks for Patroni's wheel before as well, when the change is planned.

Usage: index.py DIRECTORY PORT ADDRESS
"""

from __future__ import annotations

import os
import re
import sys
import typing as t
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


def project(wheel: str) -> str:
    return re.sub(r"[-_.]+", "-", wheel.split("-")[0]).lower()


class Index(SimpleHTTPRequestHandler):
    fatal_address = ""
    asked = 0

    def do_GET(self) -> None:
        matched = re.fullmatch(r"/simple/([^/]+)/", self.path)
        if matched:
            self.send_links(name for name in os.listdir(self.directory) if project(name) == matched.group(1))
            return
        if self.client_address[0] == self.fatal_address and "/patroni-" in self.path:
            Index.asked += 1
            if Index.asked > 1:
                os._exit(0)
        super().do_GET()

    def send_links(self, wheels: t.Iterable[str]) -> None:
        page = "".join(f'<a href="/{name}">{name}</a>\n' for name in sorted(wheels)).encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


def main(directory: str, port: str, address: str) -> None:
    Index.fatal_address = address
    os.chdir(directory)
    ThreadingHTTPServer(("", int(port)), Index).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
