# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the page on performance are those that were measured."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest

from ansible_collections.pgedge.platform.tests.unit.docs.pages import CHECKOUT, read

PAGE = "docs/performance.md"
KEPT = CHECKOUT / "docs" / "bench.json"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("report", str(CHECKOUT / "bench" / "report.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_was_measured_and_nothing_else(report):
    page = read(PAGE)

    assert report.fill_in(page, json.loads(KEPT.read_text("utf-8"))) == page


def test_the_picture_shows_what_was_measured(report):
    digest = report.digest(json.loads(KEPT.read_text("utf-8")))

    assert f"Source\0{digest}".encode() in (CHECKOUT / "docs/images/bench.png").read_bytes()


def test_the_page_has_a_place_for_all_of_it_and_a_changed_figure_shows(report):
    data = samples(rerun={"ping": {"seconds": [1.0]}, "role": {"seconds": [1.1]}})
    slower = samples(rerun={"ping": {"seconds": [1.0]}, "role": {"seconds": [1.2]}})

    filled = report.fill_in(read(PAGE), data)

    row = "| Run with nothing to do, elapsed | 1.10 s | ping | 1.00 s | 1.10 | 1.10 to 1.10 | at most 1.10, reached |"
    assert row in filled
    assert report.fill_in(filled, data) == filled
    assert report.fill_in(filled, slower) != filled


def test_readme_has_the_same_figures(report):
    _header, *rows = report.summary(json.loads(KEPT.read_text("utf-8")))
    measured = {(row[0], row[2]): float(row[4]) for row in rows}
    bare = "`apt-get install pipx`, `pipx install`"
    ratios = re.findall(r"(\d\.\d)\s+times\s+as\s+long\s+as", read("README.md"))

    assert ratios == [
        f"{measured['Run with nothing to do, elapsed', 'ping']:.1f}",
        f"{measured['Run with nothing to do, elapsed', 'the same work as tasks']:.1f}",
        f"{measured['First installation from the public index, elapsed', bare]:.1f}",
        f"{measured['Upgrade, elapsed', '`pipx install --force`']:.1f}",
    ]


def test_a_missed_target_is_on_the_page(report):
    data = samples(rerun={"ping": {"seconds": [1.0]}, "role": {"seconds": [1.2]}})

    assert "at most 1.10, **missed**" in report.fill_in(read(PAGE), data)


def test_a_page_without_a_place_for_a_table_is_refused(report):
    with pytest.raises(ValueError, match="lacks the marks"):
        report.fill_in("# Performance\n", samples())


def samples(**cases):
    return {"samples": cases, "profile": {}, "payload": {}, "machine": {}}


@pytest.mark.parametrize(("role", "reached"), [([1.0, 1.1, 1.2], True), ([1.0, 1.11, 1.2], False)])
def test_an_aim_is_judged_by_the_ratio_of_medians(report, role, reached):
    (figure,) = report.figures(samples(rerun={"ping": {"seconds": [1.0, 1.0, 1.0]}, "role": {"seconds": role}}))

    assert figure.reached is reached
    assert (figure.low, figure.high) == (1.0, 1.2)


def test_growth_is_the_cost_of_a_further_host(report):
    cases = {f"fleet of {size}, forks 10": {"role": {"cpu_seconds": [1.0 + size * 0.1]}} for size in (1, 10, 50, 100)}
    (figure,) = report.figures(samples(**cases))

    assert figure.value == pytest.approx(1.0)
    assert figure.reached
