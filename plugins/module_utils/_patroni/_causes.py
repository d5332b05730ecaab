# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""Find the cause of a failure in what a command printed, and whether it is transient. Nothing is run here."""

from __future__ import annotations

import re
import typing as t

from .._versions import normalized_name

# In the wording of apt, dpkg, dnf and rpm.
_LOCKED = re.compile(
    r"could not get lock|is another process using it\?|was locked by another process"
    r"|already locked by|failed to obtain .*lock|transaction lock on .* \(resource temporarily unavailable\)"
    r"|waiting for process with pid|another app is currently holding|another transaction is in progress",
    re.IGNORECASE,
)
# apt prints this while it waits. It may still get the lock, and fail for another reason.
_WAITED = "Waiting for cache lock:"
_HOLDER = re.compile(
    r"could not get lock .* held by .*|\S+ already locked by .*|application with pid .*|other application is: .*"
    r"|dpkg \w+ lock was locked by another process with pid \d+",
    re.IGNORECASE,
)

# Four kinds of evidence, each sufficient on its own. Faults of the host: no answer from a server changes them.
_HOST = re.compile(
    r"no space left on device|enough free space|disk quota exceeded|read-only file system|permission denied"
    r"|operation not permitted|cannot allocate memory|memoryerror|too many open files|input/output error"
    r"|exit(ed with| code:) -\d|dpkg: error processing|error unpacking rpm package|unpacking of archive failed"
    r"|rpmdb: |packages database",
    re.IGNORECASE,
)
# Failures of trust: waiting does not make a signature valid or a certificate trusted.
_TRUST = re.compile(
    r"certificate[ _]verif|no_certificate|ca certificate|wrong_version_number|curl error \((51|58|60|77|83|90|91)\)"
    r"|no_pubkey|(exp|rev)keysig|badsig|public key for .* is not installed|is not signed|gpg public keys"
    r"|not correct for this package|signature verification failed|couldn't be verified|has incorrect checksum"
    r"|not a trusted or secure host|do not match the hashes|hashes are required|is expired|is not valid yet"
    r"|changed its '",
    re.IGNORECASE,
)
# A server that answers, but refuses.
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
    # The HTTP status codes that mean "later".
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

# Marks an error line in the output of any of these programs.
_ERROR = re.compile(
    r"(E|ERROR|error|Error|fatal|[\w.]*(Error|Exception)): |.*: fatal error: "
    r"|\S+ : (Pre)?(Depends|Breaks|Conflicts): |No match for argument|The virtual environment was not created"
)
# Reports only that something failed; the reason is on another line.
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
# Lines that continue on the next one.
_BROKEN = re.compile(
    r"(dpkg: error processing .*:|^Errors were .*:|^ERROR: .*hashes.*|^The virtual environment was .* not)\n *",
    re.MULTILINE | re.IGNORECASE,
)
# How much of the end of pip's log is used.
_LOG_CHARACTERS = 8000
# Symbols that pip draws in front of a line.
_DRAWN = re.compile(r"^[\s\u00d7\u2502\u2570\u2500>]+")
# How many conflicting requirements are listed: pip lists every release.
_CONFLICTS = 4
# How many unreadable sources are listed.
_SHOWN = 3


def parse_conflict(text: str) -> str | None:
    """Read which requirements pip found to conflict; only the first ones if there are many."""
    matched = re.findall(r"conflict is caused by:\n((?:[ \t]+\S.*\n)+)", text)
    return "; ".join(line.strip() for line in matched[-1].splitlines()[:_CONFLICTS]) if matched else None


def parse_pip_log(log: str) -> str:
    """Extract the end of pip's own log, preceded by every index page that could not be read."""
    text = re.sub(r"^\d{4}-\d\d-\d\dT[\d:,]+ ", "", log, flags=re.MULTILINE)
    # Traceback frames are long and reveal nothing about a host. pip's own exceptions repeat earlier lines.
    text = re.sub(r"^( *)Traceback .*\n(?:\1 +.*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(Exception information:|pip\._internal\.exceptions.*|ERROR: <.*)\n", "", text, flags=re.MULTILINE)
    unread = dict.fromkeys(re.findall(r"^Could not fetch URL .* - skipping$", text, re.MULTILINE))
    return "\n".join([*unread, text[-_LOG_CHARACTERS:]])


def parse_missing(text: str) -> str | None:
    """Read the requirement for which pip found no file at all, such as a build requirement."""
    matched = re.findall(r"the requirement (\S.*?)(?: \(from [^v)][^)]*\))? \(from versions: none\)", text)
    return matched[-1] if matched else None


def parse_sources(text: str) -> tuple[str, ...]:
    """List the package sources that could not be read, each on one line with the reason.

    apt and dnf continue without such a source. Pages that pip could not read count only if pip found no package.
    """
    apt = re.findall(r"^Err:\d+ (.*)\n +(\S.*)", text, re.MULTILINE)
    dnf = re.findall(r"for (repository '.*'):\n(?:  - .*\n)*  - (.*)", text)
    dnf5 = re.findall(r"^ (\S.*?) +\?*\d*% \|.*\n>>> (.*)", text, re.MULTILINE)
    keyless = re.findall(r"not have any (GPG public keys) installed[\s\S]*?^Problem repository: (.*)", text, re.M)
    mirrors = re.findall(r"^\[MIRROR\] ([^:]+): (.*)", text, re.MULTILINE)
    found = [f"{source}: {reason}" for source, reason in (*apt, *dnf, *dnf5, *mirrors, *_unread_pages(text))]
    found += [f"repository {source}: no {keys} are installed" for keys, source in keyless]
    # Each of these is a complete sentence about a source.
    told = re.findall(
        r"^E: ((?:Release file for|Repository) .*)|(?:^WARNING: (Location .* is ignored: .*))", text, re.M
    )
    return tuple(dict.fromkeys([*found, *("".join(either) for either in told)]))


def shown(sources: t.Sequence[str]) -> str:
    """List sources, but not more than an operator would read."""
    more = [f"and {len(sources) - _SHOWN} more"] if len(sources) > _SHOWN else []
    return "; ".join([*sources[:_SHOWN], *more])


def _unread_pages(text: str) -> list[tuple[str, str]]:
    """The index pages that pip could not read, if that is why it found nothing."""
    missing = parse_missing(text)
    pages = re.findall(r"Could not fetch URL (\S+): (.*) - skipping$", text, re.MULTILINE) if missing else []
    project = normalized_name(re.split(r"[^\w.-]", missing or "")[0])
    return [page for page in pages if page[0].rstrip("/").endswith(f"/{project}")] or pages


def parse_cause(text: str) -> str:
    """Choose the best explanation of why a command failed, in the words of the program.

    In order of preference: the holder of a lock, a fault of the host, the sources that could not be read, the last line
    with a permanent cause, the last with a transient cause, and the last with an error of any kind. Lines that only
    report a failure come last: without an index, pip ends with "No matching distribution found", which is misleading.
    """
    lines = _lines(text)
    holders = [found.group(0).rstrip(".") for found in map(_HOLDER.search, lines) if found]
    if is_locked(text):
        return "; ".join(dict.fromkeys(holders)) or str(_last(lines, _LOCKED.search))
    missing = parse_missing(text)
    reasons = (
        _last(lines, _HOST.search),
        _unhashed(text),
        shown(parse_sources(text)),
        *(_last(lines, kind.search) for kind in (_TRUST, _REFUSED, _PASSING)),
        parse_conflict(text),
        f"pip found no file for {missing}" if missing else None,
        _last([line for line in lines if not _RESTATES.match(line)], _ERROR.match),
        _last(lines, _ERROR.match),
        *lines[-1:],
    )
    return next((reason for reason in reasons if reason), "no output")


def _unhashed(text: str) -> str | None:
    """Read which file pip refused because of its hash."""
    wrong = re.search(r"DO NOT MATCH THE HASHES[^\n]*\n\s+(\S+==\S+)(?: from (\S+))?", text)
    if wrong:
        file = (wrong.group(2) or "").partition("#")[0].rpartition("/")[2].rstrip(":") or "the file"
        return f"{file}, which was offered for {wrong.group(1)}, does not match a hash in the constraints"
    missing = re.search(r"pinned with ==\. These do not:\n\s*([\w.-]+)", text) or re.search(
        r"Hashes are required in [\s\S]*?\n\s+([\w.-]+)\S* --hash=", text
    )
    return f"the constraints do not pin {missing.group(1)} with a hash" if missing else None


def _lines(text: str) -> list[str]:
    """The lines of an output, without indentation. Lines that a program breaks in two are joined.

    Lines about index pages are left out: an index may well lack a package that another one has.
    """
    text = _BROKEN.sub(r"\1 ", text)
    text = re.sub(r"did not run successfully\.\s+\S exit code: ", "ended with exit code: ", text)
    lines = (_DRAWN.sub("", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("Could not fetch URL ")]


def _last(lines: t.Sequence[str], is_telling: t.Callable[[str], object]) -> str | None:
    # A list of versions is long and not informative.
    found = [line for line in lines if is_telling(line) and "(from versions" not in line]
    # An apt warning ranks below an error.
    return max(found, key=lambda line: (not line.startswith("W: "), found.index(line)), default=None)


def parse_offered(text: str) -> tuple[str, ...]:
    """Read the versions that pip lists when it does not find the requested one."""
    matched = re.findall(r"requirement patroni\b.* \(from versions: ([^)]*)\)", text)
    names = matched[-1].split(", ") if matched else []
    return tuple(name for name in names if name != "none")


def not_offered(requirement: str, offered: t.Sequence[str]) -> str:
    """Return the message for a requirement that the index does not offer.

    Args:
        offered: the versions that the index offers, the newest last.
    """
    newest = ", ".join(offered[-8:])
    return f"the package index offers no {requirement} for this Python; the newest versions that it offers are {newest}"


def is_unknown_package(output: str) -> bool:
    """Return whether apt or dnf found no package of that name in the sources that it could read."""
    return bool(_UNKNOWN.search(output))


def in_conflict(requirement: str, conflict: str) -> str:
    """Return the message for a requirement that conflicts with the constraints or with its own dependencies."""
    return f"pip found no compatible versions for {requirement}: {conflict}; change the version or the constraints"


def is_locked(output: str) -> bool:
    """Return whether a package manager gave up because another one is running."""
    return any(_LOCKED.search(line) for line in output.splitlines() if not line.startswith(_WAITED))


def is_transient(output: str) -> bool:
    """Return whether a download failed for a transient reason.

    One source that may answer later is enough, even if another one never will.
    """
    text = "\n".join(_lines(output))
    if _HOST.search(text):
        return False
    sources = parse_sources(output)
    return any(map(_passes, sources)) if sources else _passes(text)


def _passes(text: str) -> bool:
    return bool(_PASSING.search(text)) and not (_TRUST.search(text) or _REFUSED.search(text))
