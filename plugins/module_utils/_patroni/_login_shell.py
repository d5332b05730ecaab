# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: it may change in any release. Do not import it from elsewhere.

"""The text of the file that sets up login shells of the account, as a function of the desired state."""

from __future__ import annotations

import shlex
import typing as t

if t.TYPE_CHECKING:
    from ._desired import Desired

# sh, bash and ksh read it when they start as a login shell, through /etc/profile.
PROFILE = "/etc/profile.d/patroni.sh"
MODE = 0o644

# The numeric ID, because the account could choose the variables of a shell, but not who it is.
_TEMPLATE = """\
{header}
# For this account alone: no other user should run commands that it can rewrite.
if [ "$(/usr/bin/id -u)" = {uid} ]; then
    case ":$PATH:" in
        *:{bin_dir}:*) ;;
        *) PATH={bin_dir}:$PATH ;;
    esac
    if [ -z "${{PATRONICTL_CONFIG_FILE:-}}" ]; then
        PATRONICTL_CONFIG_FILE={config}
    fi
    export PATH PATRONICTL_CONFIG_FILE
fi
"""


def render_profile(desired: Desired, config_path: str) -> str:
    """Render the file that puts C(bin_dir) on the account's PATH and names the configuration to patronictl."""
    return _TEMPLATE.format(
        header=_header(desired),
        uid=desired.account.uid,
        bin_dir=shlex.quote(desired.shown(desired.bin_dir)),
        config=shlex.quote(config_path),
    )


def is_own(desired: Desired, text: str | None) -> bool:
    """Return whether a text was written for this installation, which its unit identifies."""
    return text is not None and text.startswith(f"{_header(desired)}\n")


def _header(desired: Desired) -> str:
    return f"# Written by pgedge.platform.patroni_install together with {desired.shown(desired.unit_path)}."
