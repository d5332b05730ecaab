# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The desired state of a host: the options with all defaults resolved, and the layout of an installation."""

from __future__ import annotations

import typing as t

from .._types import Account, is_within

State = t.Literal["present", "latest", "absent"]
Family = t.Literal["debian", "redhat"]

ENVIRONMENT_MODE = 0o755
CONFIG_DIR_MODE = 0o700
UNIT_MODE = 0o644
# The file in an environment that records which interpreter was requested.
ASKED_PYTHON = "asked_python"
# The name, among the generations, of the link that is about to be put in place.
SWITCH = "switch"


class Limit(t.NamedTuple):
    """The limit that a line of a constraints file sets for a distribution.

    Attributes:
        name: the normalized name of the distribution.
        specifier: in the format of PEP 440, such as ==4.0.7 or <4.1,>=4.0.
        marker: the condition under which the line applies (PEP 508); empty if it always applies.
        file: the file that contains the line.
        line: the line as pip reads it, with its hashes; continued lines are joined.
    """

    name: str
    specifier: str
    marker: str = ""
    file: str = ""
    line: str = ""

    @property
    def hashed(self) -> bool:
        return "--hash" in self.line


class Sources(t.NamedTuple):
    """Where packages come from; URLs may contain credentials, so commands get them only in their environment.

    Attributes:
        constraints: the path of a constraints file on the host.
        limits: the limits in this file and in those that it names.
        machine: the hardware name that the system reports; a line may depend on it.
        require_hashes: pip refuses every file for which the constraints have no hash, or another one.

    pip itself does so as soon as one line of the constraints has a hash.
    """

    index_url: str | None = None
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    constraints: str | None = None
    limits: tuple[Limit, ...] = ()
    machine: str = ""
    require_hashes: bool = False

    @property
    def hashed(self) -> bool:
        return any(limit.hashed for limit in self.limits)

    @property
    def local(self) -> tuple[str, ...]:
        """Return the sources that are paths on the host."""
        links = tuple(link for link in self.find_links if ":" not in link)
        return (*links, self.constraints) if self.constraints else links


class Desired(t.NamedTuple):
    """The desired state, with all defaults resolved.

    Paths use one name for each directory: without links, and without the second name that a bind mount creates.

    Attributes:
        legacy_environment: where pipx before 1.3 puts the environment by default.
        config_chosen: the operator chose config_path; otherwise a configuration that the unit names takes precedence.
        typed: the operator's name for each directory, by its name in the plan.
    """

    state: State
    family: Family
    distribution: str
    account: Account
    extras: tuple[str, ...]
    bin_dir: str
    pipx_home: str
    config_dir: str
    config_path: str
    unit_path: str
    unit_uid: int
    unit_gid: int
    legacy_environment: str
    config_chosen: bool = True
    typed: t.Mapping[str, str] = {}
    version: str | None = None
    python: str | None = None
    pipx_executable: str | None = None
    pipx_version: str | None = None
    sources: Sources = Sources()
    force: bool = False
    keep: int = 1
    return_to: str | None = None
    login_shell: bool = False

    @property
    def environment(self) -> str:
        """The path of the environment, whatever the default of this pipx is: a link to the generation in use."""
        return f"{self.pipx_home}/venvs/patroni"

    @property
    def generations(self) -> str:
        """The directory of the environments that were built, each in a numbered directory of its own.

        An environment never changes its path, so processes started in it keep finding their own files, not those of
        the next one.
        """
        return f"{self.pipx_home}/patroni"

    def generation_of(self, environment: str) -> str | None:
        """Return the generation that contains an environment; None if the environment was not built here."""
        path, _venvs, rest = environment.rpartition("/venvs/")
        return path if rest == "patroni" and path.rpartition("/")[0] == self.generations else None

    def shown(self, path: str) -> str:
        """Return the operator's name for a path, for messages, results and the unit."""
        leading = [name for name in self.typed if is_within(path, name)]
        if not leading:
            return path
        longest = max(leading, key=len)
        return path.replace(longest, self.typed[longest], 1)

    def owns(self, path: str) -> bool:
        """Return whether a path is inside an environment of this installation."""
        own = (self.environment, self.generations, self.legacy_environment)
        return any(is_within(path, directory) for directory in own)

    @property
    def shared_libraries(self) -> str:
        """Where pipx keeps the pip of all its environments."""
        return f"{self.pipx_home}/shared"

    @property
    def unit_dir(self) -> str:
        return self.unit_path.rpartition("/")[0]

    @property
    def unit_name(self) -> str:
        return self.unit_path.rpartition("/")[2]


class Patience(t.NamedTuple):
    """Retry and timeout limits. Times are in seconds."""

    lock_timeout: int = 300
    retries: int = 5
    retry_delay: int = 20
