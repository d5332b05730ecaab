# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one row after another through the leader of a cluster until it is told to stop, and tells how that went.

Usage: writer.py RESULT.json CONNECTION-STRING

The result has the numbers of writes that were acknowledged, that failed, and that were acknowledged and are not there
at the end; the longest time between two acknowledged ones, in seconds; and the changes of the server written to.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import typing as t

import psycopg2

# About a hundred writes a second leave the machine to what is measured.
PAUSE_SECONDS = 0.01
told_to_stop = False


def stop(_signal: int, _frame: object) -> None:
    global told_to_stop
    told_to_stop = True


def connect(dsn: str) -> tuple[t.Any, str]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SELECT host(inet_server_addr())")
    return cursor, cursor.fetchone()[0]


def connect_patiently(dsn: str) -> tuple[t.Any, str]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return connect(dsn)
        except psycopg2.Error:
            if time.monotonic() > deadline:
                raise


def main(path: str, dsn: str) -> None:
    signal.signal(signal.SIGTERM, stop)
    acknowledged: list[int] = []
    servers: list[str] = []
    failed, gap = 0, 0.0
    cursor, _server = connect(dsn)
    cursor.execute("DROP TABLE IF EXISTS writes")
    cursor.execute("CREATE TABLE writes (number bigint PRIMARY KEY)")
    cursor.connection.close()
    cursor, number = None, 0
    last = time.monotonic()
    while not told_to_stop:
        number += 1
        try:
            if cursor is None:
                cursor, server = connect(dsn)
                servers += [server] if servers[-1:] != [server] else []
            cursor.execute("INSERT INTO writes VALUES (%s)", [number])
        except psycopg2.Error:
            failed, cursor = failed + 1, None
        else:
            now = time.monotonic()
            gap, last = max(gap, now - last), now
            acknowledged.append(number)
        time.sleep(PAUSE_SECONDS)
    cursor, _server = connect_patiently(dsn)
    cursor.execute("SELECT number FROM writes")
    lost = set(acknowledged) - {row[0] for row in cursor.fetchall()}
    result = {
        "writes": len(acknowledged),
        "failed": failed,
        "lost": len(lost),
        "longest_gap": round(gap, 3),
        "leader_changes": len(servers) - 1,
    }
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
