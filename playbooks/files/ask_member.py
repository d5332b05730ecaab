# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints what the Patroni of this host says of itself, as JSON: name and scope, and the answer of its REST API.

It runs in Patroni's own environment, as the account: Patroni reads its configuration, and finds its addresses and
certificates, as it always does. It works with Patroni 2.1 and newer.

Usage: python ask_member.py CONFIGURATION SECONDS
"""

from __future__ import annotations

import json
import sys

from patroni.config import Config
from patroni.request import PatroniRequest


def address(restapi):
    host = restapi.get("connect_address") or restapi.get("listen")
    if not host:
        raise ValueError("the file has no restapi.connect_address; PATRONI_* variables of the service are not read")
    return "{}://{}/patroni".format("https" if restapi.get("certfile") else "http", host)


def main(path, seconds):
    config = Config(path)
    found = {"name": config.get("name"), "scope": config.get("scope")}
    try:
        response = PatroniRequest(config).request(
            "GET", address(config.get("restapi") or {}), timeout=float(seconds), retries=False
        )
        found["patroni"] = json.loads(response.data.decode("utf-8"))
    except Exception as error:  # of any HTTP or TLS library
        found["silence"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
