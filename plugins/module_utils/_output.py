# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judging what commands print: the cause of a failure, and whether it passes by itself. Nothing is run here."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.pgedge.platform.plugins.module_utils._versions import normalized_name

# As apt, dpkg, dnf and rpm word them.
_LOCKED = re.compile(
    r"could not get lock|is another process using it\?|was locked by another process"
    r"|already locked by|failed to obtain .*lock|transaction lock on .* \(resource temporarily unavailable\)"
    r"|waiting for process with pid|another app is currently holding|another transaction is in progress",
    re.IGNORECASE,
)
# apt says so while it waits; it may get the lock after all, and fail for another reason.
_WAITED = "Waiting for cache lock:"
_HOLDER = re.compile(
    r"could not get lock .* held by .*|\S+ already locked by .*|application with pid .*|other application is: .*"
    r"|dpkg \w+ lock was locked by another process with pid \d+",
    re.IGNORECASE,
)

# Four kinds of evidence, each a reason by itself. Of the host: nothing that a server says changes it.
_HOST = re.compile(
    r"no space left on device|enough free space|disk quota exceeded|read-only file system|permission denied"
    r"|operation not permitted|cannot allocate memory|memoryerror|too many open files|input/output error"
    r"|exit(ed with| code:) -\d|dpkg: error processing|error unpacking rpm package|unpacking of archive failed"
    r"|rpmdb: |packages database",
    re.IGNORECASE,
)
# Of trust: waiting makes no signature good and no certificate trusted.
_TRUST = re.compile(
    r"certificate[ _]verif|no_certificate|ca certificate|wrong_version_number|curl error \((51|58|60|77|83|90|91)\)"
    r"|no_pubkey|(exp|rev)keysig|badsig|public key for .* is not installed|is not signed|gpg public keys"
    r"|not correct for this package|signature verification failed|couldn't be verified|has incorrect checksum"
    r"|not a trusted or secure host|do not match the hashes|hashes are required|is expired|is not valid yet"
    r"|changed its '",
    re.IGNORECASE,
)
# Of a server that answers, and refuses.
_STATUS = (
    r"(?:\b{codes}(?:  [A-Z]| (?:(?:client|server) )?error\b| (?:bad|unauthorized|forbidden|not found|proxy|gone"
    r"|too many|internal|service|gateway))|(?:status code|http error|tunnel connection failed):? {codes}\b)"
)
_REFUSED = re.compile(
    rf"{_STATUS.format(codes='4(?!08|25|29)[0-9][0-9]')}"
    r"|credentials not correct|does not have a release file|no longer has a release file|file not found",
    re.IGNORECASE,
)
_PASSING = re.compile(
    # HTTP says "later" in these words.
    _STATUS.format(codes="(?:408|425|429|50[0234])") + r"|too many (429|5\d\d) error responses"
    r"|temporary failure (in name resolution|resolving)|(could not|couldn't|failed to) resolve (?!the transaction)"
    r"|name or service not known|failed to establish a new connection"
    r"|connection (broken|refused|reset|failed|aborted|interrupted|error)"
    r"|(could not|couldn't|cannot|unable to) connect|network is unreachable|no route to host|remote end closed"
    r"|timed out|timeout was reached|didn't respond within|incomplete ?read|incomplete.download|download failed after"
    r"|hash sum mismatch|mirror sync in progress|checksum doesn't match|but expected size"
    r"|curl error \((5|6|7|16|18|28|35|52|55|56|92)\)|cannot download|failed to download|failed to fetch"
    r"|no more mirrors",
    re.IGNORECASE,
)

# Marks a line as one of an error, in any of these programs.
_ERROR = re.compile(
    r"(E|ERROR|error|Error|fatal|[\w.]*(Error|Exception)): |.*: fatal error: "
    r"|\S+ : (Pre)?(Depends|Breaks|Conflicts): |No match for argument|The virtual environment was not created"
)
# Says that something failed, when the reason stands elsewhere.
_RESTATES = re.compile(
    r"E: (Some (index )?files failed|Unable to fetch some archives|The list of sources could not be read"
    r"|Sub-process .* returned an error|Unable to correct problems)"
    r"|Error: (Could not run transaction|Transaction failed|GPG check FAILED|Some packages from local repository"
    r"|Error downloading packages|Failed to download metadata)|.*rpmdb open failed"
    r"|.*(failed with exit|non-zero exit) (code|status)"
    r"|error: (subprocess-exited-with-error|metadata-generation-failed|\S+-for-install|legacy-install-failure)"
    r"|ERROR: (Ignored the following|Failed to build|Failed building|Could not build wheels|ResolutionImpossible"
    r"|No matching distribution)|Error installing|ERROR: .* exited with \d"
)
_UNKNOWN = re.compile(
    r"unable to locate package|has no installation candidate|unable to find a match|no match for argument"
    r"|no enabled repositories",
    re.IGNORECASE,
)
# Lines that go on in the next one.
_BROKEN = re.compile(
    r"(dpkg: error processing .*:|^Errors were .*:|^ERROR: .*hashes.*|^The virtual environment was .* not)\n *",
    re.MULTILINE | re.IGNORECASE,
)
# Of pip's log, the end.
_LOG_CHARACTERS = 8000
# What pip draws in front of a line.
_DRAWN = re.compile(r"^[\s\u00d7\u2502\u2570\u2500>]+")
# Of demands that do not go together, how many are named: pip names every release.
_CONFLICTS = 4
# Of the sources that could not be read, how many are named.
_SHOWN = 3


def parse_answer_of_interpreter(output: str) -> str | None:
    """Read the file of a Python 3; None if it is no such. Of a wrapper that prints more, the last line counts."""
    matched = re.fullmatch(r"3 (/.+)", (output.strip().splitlines() or [""])[-1])
    return matched.group(1) if matched else None


def parse_properties(text: str) -> dict[str, str]:
    """Read what C(systemctl show) prints."""
    return {name: value for name, _sign, value in (line.partition("=") for line in text.splitlines())}


def parse_chosen(text: str) -> str | None:
    """Read which Patroni pip would install, or has downloaded."""
    installed = re.findall(r"^Would install (?:.* )?patroni-(\S+)", text, re.MULTILINE | re.IGNORECASE)
    saved = re.findall(
        r"^\s*Saved .*/patroni-([^-\s]+?)(?:-\S*\.whl|\.tar\.gz|\.zip)$", text, re.MULTILINE | re.IGNORECASE
    )
    return next(iter((*installed, *saved)), None)


def is_pip_answer(completed_rc: int, text: str) -> bool:
    """Whether it is pip that answered, and not a Python that has none, or one that this pip does not run with."""
    return completed_rc == 0 or bool(re.search(r"^ERROR: ", text, re.MULTILINE))


def parse_conflict(text: str) -> str | None:
    """Read which demands pip found not to go together; of many the first ones."""
    matched = re.findall(r"conflict is caused by:\n((?:[ \t]+\S.*\n)+)", text)
    return "; ".join(line.strip() for line in matched[-1].splitlines()[:_CONFLICTS]) if matched else None


def parse_python_version(text: str) -> tuple[int, ...]:
    """Read what python_version() of _commands asks; empty if that is no version."""
    matched = re.fullmatch(r"(\d+) (\d+)", text.strip())
    return tuple(map(int, matched.groups())) if matched else ()


def parse_pip_log(log: str) -> str:
    """Read what pip said in its own log: the end, and before it every page of an index that could not be read."""
    text = re.sub(r"^\d{4}-\d\d-\d\dT[\d:,]+ ", "", log, flags=re.MULTILINE)
    # The frames of a traceback tell nothing about a host, and are long; pip's own exceptions repeat what it has said.
    text = re.sub(r"^( *)Traceback .*\n(?:\1 +.*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(Exception information:|pip\._internal\.exceptions.*|ERROR: <.*)\n", "", text, flags=re.MULTILINE)
    unread = dict.fromkeys(re.findall(r"^Could not fetch URL .* - skipping$", text, re.MULTILINE))
    return "\n".join([*unread, text[-_LOG_CHARACTERS:]])


def parse_missing(text: str) -> str | None:
    """Read the requirement for which pip found no file at all, such as what a build needs."""
    matched = re.findall(r"the requirement (\S.*?)(?: \(from [^v)][^)]*\))? \(from versions: none\)", text)
    return matched[-1] if matched else None


def parse_sources(text: str) -> tuple[str, ...]:
    """Read which sources of packages could not be read, and why, each in one line.

    apt and dnf go on without such a source. What pip could not read counts only for a package that it did not find.
    """
    apt = re.findall(r"^Err:\d+ (.*)\n +(\S.*)", text, re.MULTILINE)
    dnf = re.findall(r"for (repository '.*'):\n(?:  - .*\n)*  - (.*)", text)
    dnf5 = re.findall(r"^ (\S.*?) +\?*\d*% \|.*\n>>> (.*)", text, re.MULTILINE)
    keyless = re.findall(r"not have any (GPG public keys) installed[\s\S]*?^Problem repository: (.*)", text, re.M)
    mirrors = re.findall(r"^\[MIRROR\] ([^:]+): (.*)", text, re.MULTILINE)
    found = [f"{source}: {reason}" for source, reason in (*apt, *dnf, *dnf5, *mirrors, *_unread_pages(text))]
    found += [f"repository {source}: no {keys} are installed" for keys, source in keyless]
    # Each of these is a whole sentence about a source.
    told = re.findall(
        r"^E: ((?:Release file for|Repository) .*)|(?:^WARNING: (Location .* is ignored: .*))", text, re.M
    )
    return tuple(dict.fromkeys([*found, *("".join(either) for either in told)]))


def shown(sources: t.Sequence[str]) -> str:
    """Name sources, not more than an operator reads."""
    more = [f"and {len(sources) - _SHOWN} more"] if len(sources) > _SHOWN else []
    return "; ".join([*sources[:_SHOWN], *more])


def _unread_pages(text: str) -> list[tuple[str, str]]:
    """The pages of an index that pip could not read, where that is why it found nothing."""
    missing = parse_missing(text)
    pages = re.findall(r"Could not fetch URL (\S+): (.*) - skipping$", text, re.MULTILINE) if missing else []
    project = normalized_name(re.split(r"[^\w.-]", missing or "")[0])
    return [page for page in pages if page[0].rstrip("/").endswith(f"/{project}")] or pages


def parse_cause(text: str) -> str:
    """Choose what tells best why a command failed, as the program words it.

    That is the holder of a lock, else a fault of the host, else the sources that could not be read, else the last line
    with a lasting cause, else with a passing one, else with an error of any kind. What only says that something failed
    comes last: without an index pip ends with "No matching distribution found", which misleads.
    """
    lines = _lines(text)
    holders = [found.group(0).rstrip(".") for found in map(_HOLDER.search, lines) if found]
    if is_locked(text):
        return "; ".join(dict.fromkeys(holders)) or str(_last(lines, _LOCKED.search))
    missing = parse_missing(text)
    reasons = (
        _last(lines, _HOST.search),
        shown(parse_sources(text)),
        *(_last(lines, kind.search) for kind in (_TRUST, _REFUSED, _PASSING)),
        parse_conflict(text),
        f"pip found no file for {missing}" if missing else None,
        _last([line for line in lines if not _RESTATES.match(line)], _ERROR.match),
        _last(lines, _ERROR.match),
        *lines[-1:],
    )
    return next((reason for reason in reasons if reason), "no output")


def _lines(text: str) -> list[str]:
    """The lines of an output, without indentation, each whole where a program breaks one in two.

    Without those about pages of an index: an index may well lack what another one has.
    """
    text = _BROKEN.sub(r"\1 ", text)
    text = re.sub(r"did not run successfully\.\s+\S exit code: ", "ended with exit code: ", text)
    lines = (_DRAWN.sub("", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("Could not fetch URL ")]


def _last(lines: t.Sequence[str], is_telling: t.Callable[[str], object]) -> str | None:
    # A list of versions is long, and tells little.
    found = [line for line in lines if is_telling(line) and "(from versions" not in line]
    # A warning of apt goes before an error.
    return max(found, key=lambda line: (not line.startswith("W: "), found.index(line)), default=None)


def parse_offered(text: str) -> tuple[str, ...]:
    """Read the versions that pip names when it does not find the one that was asked for."""
    matched = re.findall(r"requirement patroni\b.* \(from versions: ([^)]*)\)", text)
    names = matched[-1].split(", ") if matched else []
    return tuple(name for name in names if name != "none")


def not_offered(requirement: str, offered: t.Sequence[str]) -> str:
    """Say that an index lacks what is wanted.

    Args:
        offered: the versions that it has, the newest last.
    """
    newest = ", ".join(offered[-8:])
    return f"the package index offers no {requirement} for this Python; the newest versions that it offers are {newest}"


def is_unknown_package(output: str) -> bool:
    """Whether apt or dnf found no package of that name in the sources that it could read."""
    return bool(_UNKNOWN.search(output))


def in_conflict(requirement: str, conflict: str) -> str:
    """Say that what is wanted does not go with the constraints, or with what it depends on itself."""
    return (
        f"pip found no compatible versions for {requirement}: {conflict}; change the version or the constraints"
    )


def is_locked(output: str) -> bool:
    """Whether a package manager gave up because another one works at the moment."""
    return any(_LOCKED.search(line) for line in output.splitlines() if not line.startswith(_WAITED))


def is_transient(output: str) -> bool:
    """Whether a download failed for a reason that passes by itself.

    One source that may answer later is enough, even if another one never does.
    """
    text = "\n".join(_lines(output))
    if _HOST.search(text):
        return False
    sources = parse_sources(output)
    return any(map(_passes, sources)) if sources else _passes(text)


def _passes(text: str) -> bool:
    return bool(_PASSING.search(text)) and not (_TRUST.search(text) or _REFUSED.search(text))
