# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs get from the caller's session, from pip's configuration and from credentials in URLs, on real hosts."""

from __future__ import annotations

import base64
import subprocess
import threading
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from lab import Host

pytestmark = pytest.mark.hosts

ASTRAY = "/opt/astray"
# Each of them changed what a program of the installation did, or made it fail.
SESSION = {
    "APT_CONFIG": f"{ASTRAY}/apt.conf",
    "DCS_URL": "nonsense://127.0.0.1:9",
    "LANGUAGE": "de",
    "LOGLEVEL": "debug",
    "PATRONICTL_CONFIG_FILE": "/etc/patroni/patroni.yaml",
    "PATRONI_CONFIGURATION": "{nonsense",
    "PATRONI_LOG_LEVEL": "nonsense",
    "PIPX_DEFAULT_PYTHON": f"{ASTRAY}/python",
    "PIPX_HOME": f"{ASTRAY}/pipx",
    "PIP_DRY_RUN": "1",
    "PIP_NO_DEPS": "1",
    "PIP_PREFIX": f"{ASTRAY}/prefix",
    "PIP_REQUIREMENT": f"{ASTRAY}/requirements.txt",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": f"{ASTRAY}/target",
    "PIP_USER": "1",
    # Modules that end whoever imports them; the module itself needs none of them.
    "PYTHONPATH": f"{ASTRAY}/lib",
    "PYTHONWARNINGS": "error",
    "SYSTEMD_OFFLINE": "1",
    "VIRTUAL_ENV": f"{ASTRAY}/venv",
    "XDG_CONFIG_HOME": f"{ASTRAY}/config",
    "XDG_STATE_HOME": f"{ASTRAY}/state",
}
PIP_CONF = """
dry-run = true
no-deps = true
require-virtualenv = true
[install]
user = true
"""


@pytest.fixture
def bare(hosts: dict[str, Host], request: pytest.FixtureRequest) -> Host:
    """A host without Patroni, and without the pipx that pip installed."""
    host = hosts[request.param]
    host.install(state="absent")
    host.shell(f"rm -rf {host.pipx_home} {host.home}/.cache")
    if host.name == "el9":
        host.shell("rm -rf /root/.cache /root/.local /usr/local/bin/pipx /usr/local/lib*/python3*")
    return host


# The same pip on both, and the one of the RHEL family runs as root too.
both = pytest.mark.parametrize("bare", [pytest.param("debian12", marks=pytest.mark.thorough), "el9"], indirect=True)


@both
def test_variables_of_a_session_change_nothing(bare: Host) -> None:
    host = bare
    host.shell(
        f"mkdir -p {ASTRAY}/lib && cd {ASTRAY}/lib && "
        "for name in click pip pipx psycopg2 yaml; do echo 'raise SystemExit(9)' > $name.py; done && "
        f"echo 'APT::Get::Simulate true;' > {ASTRAY}/apt.conf && chmod -R a+rX {ASTRAY}"
    )
    try:
        result = host.install(environment=SESSION)
        assert result.get("failed") is None, result
        assert host.works()
        assert host.install(environment=SESSION)["changed"] is False
        left = host.shell(f"find {ASTRAY} -mindepth 1 -maxdepth 1 -printf '%f ' | tr ' ' '\\n' | sort").split()
        assert left == ["apt.conf", "lib"]
    finally:
        host.shell(f"rm -rf {ASTRAY}")


@both
def test_pip_s_configuration_says_where_from_and_not_where_to(bare: Host) -> None:
    """Its certificate is still used: without it nothing could be downloaded."""
    host = bare
    host.shell(f"cp /etc/pip.conf /etc/pip.conf.kept && printf %s '{PIP_CONF}' >> /etc/pip.conf")
    try:
        result = host.install()
        assert result.get("failed") is None, result
        assert host.works()
        if host.name == "el9":
            assert result["pipx"]["path"] == "/usr/local/bin/pipx"
            assert not host.shell("ls -A /root/.local 2>/dev/null", check=False)
    finally:
        host.shell("mv /etc/pip.conf.kept /etc/pip.conf")


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: t.Any) -> None:
        pass


@contextmanager
def doorkeeper(address: str) -> Iterator[tuple[int, dict[str, set[str]]]]:
    """Serve an empty page to who names itself, and keep what each host's visitors said of themselves."""
    said: dict[str, set[str]] = {}

    def app(environ: dict[str, t.Any], start_response: t.Callable[..., t.Any]) -> list[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")[2]
        if not given:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="x"')])
            return [b""]
        said.setdefault(environ["HTTP_HOST"].partition(":")[0], set()).add(base64.b64decode(given).decode())
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<!DOCTYPE html><html><body></body></html>"]

    server = make_server(address, 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, said
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def bridge(host: Host) -> str:
    gateway = "{{.NetworkSettings.Networks.bridge.Gateway}}"
    command = ["docker", "inspect", "--format", gateway, host.container]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@both
def test_logins_as_sites_have_them(bare: Host) -> None:
    """A backslash in a login and, where Python can read it, an empty password; packages come from elsewhere."""
    host, address = bare, bridge(bare)
    host.shell(f"echo '{address} index.example' >> /etc/hosts")
    with doorkeeper(address) as (port, said):
        domain = f"http://CORP%5Cjdoe:%22s3c%25%22@{address}:{port}/"
        token = f"http://t0ken@Index.example:{port}/"
        trusted = {"PIP_TRUSTED_HOST": f"{address} index.example"}
        if host.name == "el9":
            refused = host.install(find_links=[domain, token], environment=trusted)
            assert "unless the Python is 3.11 or newer" in refused["msg"]
            assert (refused["failed"], refused["steps"], said) == (True, [], {})
        links = [domain] if host.name == "el9" else [domain, token]
        result = host.install(find_links=links, environment=trusted)
    assert result.get("failed") is None, result
    expected = {address: {'CORP\\jdoe:"s3c%"'}, "index.example": {"t0ken:"}}
    assert said == {name: words for name, words in expected.items() if name == address or host.name != "el9"}
