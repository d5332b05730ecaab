# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private package index for hosts in containers, with a password and a certificate authority of its own."""

from __future__ import annotations

import base64
import secrets
import ssl
import subprocess
import threading
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver
import trustme
from lab import BIN, Host

NAME = "deploy"
# Where a host has the certificate, and what pip needs to know.
CA = "/etc/ssl/private-ca.pem"
ENVIRONMENT = {"PIP_CERT": CA}


@dataclass
class Index:
    """A private index that is being served."""

    address: str
    ca: bytes
    password: str
    asked: list[str] = field(default_factory=list)

    def url(self, path: str, password: str | None = None) -> str:
        return f"https://{NAME}:{quote(password or self.password, safe='')}@{self.address}{path}"

    def forms(self, password: str | None = None) -> list[str]:
        """The ways in which a password may be written."""
        plain = password or self.password
        encoded = quote(plain, safe="")
        header = base64.b64encode(f"{NAME}:{plain}".encode()).decode()
        return [plain, encoded, encoded.lower(), quote(plain), header, plain.replace("&", "\\u0026")]

    def takes(self, name: str, password: str) -> bool:
        return (name, password) == (NAME, self.password)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Hosts that do not trust the certificate hang up."""


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: t.Any) -> None:
        pass


def new_password() -> str:
    """A password with characters that mean something in a URL, in a shell and to Python."""
    return f"s3cr/et@{secrets.token_hex(6)}:%&+#?$'"


def download_source(constraints: Path, name: str, directory: Path) -> None:
    """Download the source distribution of a package in the version that constraints pin."""
    (pinned,) = [word for word in constraints.read_text(encoding="utf-8").split() if word.startswith(f"{name}==")]
    command: list[str | Path] = [BIN / "python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*command, "--dest", directory, pinned], check=True)


@contextmanager
def serving(directories: list[Path], host: Host) -> Iterator[Index]:
    """Serve packages to hosts in containers, over TLS, to who knows the password."""
    gateway = "{{.NetworkSettings.Networks.bridge.Gateway}}"
    command = ["docker", "inspect", "--format", gateway, host.container]
    address = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    authority = trustme.CA()
    index = Index(address, authority.cert_pem.bytes(), new_password())
    app = pypiserver.app(
        roots=directories, disable_fallback=True, authenticate=["list", "download", "update"], auther=index.takes
    )

    def logged(environ: dict[str, t.Any], start_response: t.Callable[..., t.Any]) -> t.Iterable[bytes]:
        index.asked.append(environ["PATH_INFO"])
        answer: t.Iterable[bytes] = app(environ, start_response)
        return answer

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(address).configure_cert(context)
    # A connection that is only opened must not hold up the others.
    server = make_server(address, 0, logged, server_class=Server, handler_class=Quiet)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    index.address = f"{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
