# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.


"""Names and versions of distributions, compared as pip compares them (PEP 503, PEP 440). Pure."""

from __future__ import annotations

import re
import typing as t

_VERSION = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?"
    r"(?P<post>-(?P<post_short>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE | re.ASCII,
)
_PHASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*(\S+)")
# Sort before and after any value that a version can have in the same place.
_FIRST, _LAST = (-1,), (1,)


class _Version(t.NamedTuple):
    """A version whose parts compare, as a tuple, in the order of PEP 440."""

    epoch: int
    release: tuple[int, ...]
    pre: tuple[t.Any, ...]
    post: tuple[int, ...]
    dev: tuple[int, ...]
    local: tuple[t.Any, ...]

    @property
    def is_early(self) -> bool:
        """Whether it precedes its release: an alpha, beta, candidate or development release."""
        return self.dev != _LAST or self.pre not in (_FIRST, _LAST)

    @property
    def public(self) -> _Version:
        return self._replace(local=())


def normalized_name(name: str) -> str:
    """Normalize the name of a distribution or an extra for comparison, as in PEP 503 and PEP 685."""
    return re.sub(r"[-_.]+", "-", name).lower()


def same_version(left: str, right: str) -> bool:
    """Return whether two PEP 440 versions are equal, as 4.1 and 4.1.0 are."""
    parsed = _parse(left), _parse(right)
    return left == right if None in parsed else parsed[0] == parsed[1]


def meets(version: str, wanted: str) -> bool:
    """Return whether pip accepts a version as the wanted one, even if it adds a local part (PEP 440)."""
    return same_version(version if "+" in wanted else version.partition("+")[0], wanted)


def allows(specifier: str, version: str) -> bool | None:
    """Return whether a specifier, such as C(<4.1,>=4.0), allows a version; None if only pip can tell."""
    verdicts = [_clause_allows(clause.strip(), version) for clause in specifier.split(",") if clause.strip()]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def exact_version(specifier: str) -> str | None:
    """The one version that a specifier requires; None if it leaves a choice."""
    matched = re.fullmatch(r"===?\s*([^\s,*]+)", specifier)
    return matched.group(1) if matched else None


def _clause_allows(clause: str, version: str) -> bool | None:
    matched = _CLAUSE.fullmatch(clause)
    if matched is None:
        return None
    operator, wanted = matched.groups()
    if operator == "===":
        return version.lower() == wanted.lower()
    if wanted.endswith(".*"):
        return _matches_prefix(operator, version, wanted[:-2])
    found, limit = _parse(version), _parse(wanted)
    if found is None or limit is None:
        return None
    if operator in ("==", "!="):
        return meets(version, wanted) == (operator == "==")
    if operator == "~=":
        prefix = wanted[: matched.end(2)].split("!")[-1].split(".")[: len(_written_release(wanted)) - 1]
        epoch = f"{limit.epoch}!" if limit.epoch else ""
        return _both(found.public >= limit, _matches_prefix("==", version, epoch + ".".join(prefix)))
    return _is_ordered(operator, found, limit)


def _is_ordered(operator: str, found: _Version, limit: _Version) -> bool | None:
    """Compare as in PEP 440: a pre-release, post-release or local version of a release is not beyond that release.

    Versions of pip disagree on whether that holds for a limit that is itself a pre-release or post-release.
    """
    same_release = found[:2] == limit[:2]
    if operator == "<=":
        return found.public <= limit
    if operator == ">=":
        return found.public >= limit
    if operator == "<":
        before = same_release and found.is_early and not limit.is_early
        return None if before and limit.post != _FIRST else found < limit and not before
    added = same_release and (bool(found.local) or (found.post != _FIRST and limit.post == _FIRST))
    return None if added and limit.is_early else found > limit and not added


def _matches_prefix(operator: str, version: str, prefix: str) -> bool | None:
    found, wanted = _parse(version), _parse(prefix)
    if operator not in ("==", "!=") or found is None or wanted is None or not re.fullmatch(r"(\d+!)?[\d.]+", prefix):
        return None
    parts = _written_release(prefix)
    padded = (*found.release, *(0 for _part in parts))
    return (found.epoch == wanted.epoch and padded[: len(parts)] == parts) == (operator == "==")


def _both(left: bool, right: bool | None) -> bool | None:
    return right if left else False


def _written_release(version: str) -> tuple[int, ...]:
    matched = _VERSION.fullmatch(version)
    return tuple(int(part) for part in matched.group("release").split(".")) if matched else ()


def _parse(version: str) -> _Version | None:
    matched = _VERSION.fullmatch(version.strip())
    if matched is None:
        return None
    phase, has_post, has_dev = matched.group("pre"), matched.group("post"), matched.group("dev")
    release = [int(part) for part in matched.group("release").split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    pre: tuple[t.Any, ...] = _LAST
    if phase:
        pre = (0, _PHASES.get(phase.lower(), phase.lower()), int(matched.group("pre_number") or 0))
    elif has_dev and not has_post:
        # A development release precedes every pre-release of the same release.
        pre = _FIRST
    post = matched.group("post_short") or matched.group("post_number") or 0
    local = re.split(r"[-_.]", (matched.group("local") or "").lower())
    return _Version(
        int(matched.group("epoch") or 0),
        tuple(release),
        pre,
        (int(post),) if has_post else _FIRST,
        (0, int(matched.group("dev_number") or 0)) if has_dev else _LAST,
        tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in local if part),
    )
