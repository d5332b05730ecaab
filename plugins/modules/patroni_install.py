#!/usr/bin/python
# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_install
short_description: Install Patroni with pipx, as the database account, with a systemd unit
version_added: 1.0.0
author:
  - pgEdge (@pgEdge)
description:
  - Ensures that Patroni is installed on a host. This includes pipx and its prerequisites, an isolated environment owned
    by the database account, a systemd unit owned by root and left disabled, and a private configuration directory.
  - If Patroni already works, nothing is installed and the network is not used. The module checks this from files; the
    only process that it starts is one C(systemctl show).
  - The service is never started, stopped, restarted, enabled or disabled. RV(restart_required) reports that a restart
    is due.
  - The module does not configure clusters and does not install Postgres or etcd. The roles C(setup_patroni),
    C(install_pgedge) and C(install_etcd) do that, and the role C(init_server) creates the account.
attributes:
  check_mode:
    support: full
    description: Check mode returns the same steps that a run carries out. It also works on a host on which an earlier
      role of the same play has yet to create the account; a warning states the assumptions. If another version than
      O(version) is installed, the module checks that the package index offers O(version).
  diff_mode:
    support: full
    description: The diff shows the text of the unit, the version and extras of the environment, the reason for a
      rebuild, the packages to install, and the directories to create or remove with owner and mode.
  platform:
    platforms: posix
    support: full
    description: Linux of the Debian family (Debian, Ubuntu and derivatives) and of the RHEL family (RHEL, Rocky, Alma,
      Oracle, CentOS Stream, Amazon Linux 2023, Fedora and derivatives).
options:
  state:
    description:
      - V(present) ensures a working Patroni with O(extras), and at O(version) if that is set.
      - V(latest) ensures the newest version that pip would install with this Python, from this index and under these
        O(constraints).
      - V(absent) removes the environment, the links to its executables and the unit. Configuration, data, pipx and
        files of other origin stay. The module fails if the service is active or enabled, or if processes run in the
        environment; see O(force). If another unit starts an executable of the environment, only this unit is removed,
        and RV(msg) names the other one.
    type: str
    choices: [present, latest, absent]
    default: present
  version:
    description:
      - Exact version of Patroni, as in PEP 440, such as V(4.1.5).
      - Another installed version is upgraded or downgraded to it.
      - If not set, a first installation takes the newest version of the index, and an existing installation keeps its
        version.
    type: str
  extras:
    description:
      - Extras of Patroni to install. One is the Postgres driver, without which Patroni does not start. Another is the
        client of the distributed configuration store.
      - Other extras that are already in the environment stay.
      - The unit is of C(Type=notify) if the installed Patroni can notify systemd, that is Patroni 4.1 or newer with
        C(systemd-python) in its environment, which V(systemd) and V(all) install. Otherwise it is of C(Type=simple).
    type: list
    elements: str
    default: [psycopg2-binary, etcd]
  user:
    description:
      - Account that owns and runs Patroni. The account and its home directory must exist; C(init_server) creates them.
      - If the module runs as this account, root is not needed, as long as the account can write to all paths.
    type: str
    default: postgres
  group:
    description:
      - Group of the configuration directory and of the service. The default is the primary group of the account.
    type: str
  bin_dir:
    description:
      - Directory for the links to C(patroni), C(patronictl) and the other executables of Patroni.
      - The default is C(.local/bin) in the home directory of the account. That is V(/var/lib/postgresql/.local/bin) on
        the Debian family and V(/var/lib/pgsql/.local/bin) on the RHEL family if their Postgres packages created the
        account.
      - Root creates missing directories outside the reach of the account, and gives the last one to the account.
    type: path
  pipx_home:
    description:
      - Home directory of pipx. The environment is C(venvs/patroni) in it, with every version of pipx.
      - The default is C(.local/share/pipx) in the home directory of the account.
    type: path
  config_dir:
    description:
      - Directory for the configuration of Patroni, created with owner O(user), group O(group) and mode 0700.
      - Its content is not changed.
    type: path
    default: /etc/patroni
  config_file:
    description:
      - Configuration file with which the unit starts Patroni. A bare name refers to a file in O(config_dir).
      - The default is the file that the unit on the host already names, if it exists, so that a unit of other origin
        keeps its configuration. Otherwise the default is C(patroni.yaml) in O(config_dir).
      - If the unit does not name a file, for example because it uses a variable, the configuration of its running
        process is used.
      - The module does not write the file. If it is missing and O(config_dir) contains other C(.yml) or C(.yaml) files,
        a warning names them.
    type: str
  unit_path:
    description:
      - Path of the systemd unit, owned by root with mode 0644. It is rewritten if its text, owner or mode differ.
      - If it replaces a unit of other origin, a warning names the settings that are lost.
      - Put local settings into drop-ins, in the directory with the name of the unit and the suffix C(.d). The module
        never changes them.
      - The module runs C(systemctl daemon-reload) if systemd runs, reads units from this directory, and has not read
        the current file.
    type: path
    default: /etc/systemd/system/patroni.service
  pipx_executable:
    description:
      - Path of a pipx that O(user) can run. If set, no prerequisites are installed.
      - By default, the module searches for pipx on the C(PATH), in the usual system directories and in C(.local/bin) in
        the home directory of the account. If there is none, it installs pipx, with C(apt-get) on the Debian family.
      - On the RHEL family it installs pipx with pip, for the interpreter that O(python) names if that is in
        C(/usr/bin), or else for the one that runs the module, or for that of the system. If it has no pip, C(dnf)
        installs it first (C(python3-pip), C(python3.12-pip)). An interpreter is skipped if it is older than 3.8, if
        O(user) cannot run it, or if it is reserved for packages (PEP 668).
    type: path
  pipx_version:
    description:
      - Version of pipx for pip to install on the RHEL family. An installed pipx is used as it is.
    type: str
  python:
    description:
      - Python interpreter of the environment, as a name on the C(PATH) or as an absolute path.
      - An environment that uses a different interpreter is rebuilt. A wrapper or shim, such as those of pyenv, counts
        as the interpreter that it starts for O(user). If a shim later starts another interpreter and its own file does
        not change, the module does not notice; in that case, set the path of the interpreter itself.
      - By default pipx uses its own interpreter, and an existing environment keeps its interpreter.
    type: str
  index_url:
    description:
      - Package index to install from, instead of the one in the configuration of pip.
      - Credentials in it are not logged, not returned, not visible in a process list and not written to a file that
        stays.
    type: str
  find_links:
    description:
      - Additional package sources, as directories on the host or URLs, such as a wheelhouse for a host without internet
        access.
      - Credentials are protected as in O(index_url).
    type: list
    elements: str
    default: []
  no_index:
    description:
      - Do not use a package index; install only from O(find_links).
    type: bool
    default: false
  constraints:
    description:
      - Path of a pip constraints file on the host that O(user) can read. It pins the packages that are installed with
        Patroni. Files that it includes with C(-c) or C(-r) count as well.
      - If an installed package has a version that a line such as C(click<9) or C(patroni==4.1.5; python_version>="3.9")
        does not allow, the environment is rebuilt.
      - The module fails if the file does not allow O(version).
      - Lines with a URL or a variable, and markers that cannot be evaluated from files alone, are left to pip.
    type: path
  require_hashes:
    description:
      - Whether every file that pip installs must match a hash in O(constraints). This includes Patroni, its
        dependencies, the packages that build other packages, and the pip of pipx. A file that matches none is refused
        before it is unpacked, and the installed Patroni stays in use.
      - O(constraints) must pin Patroni and pip with C(==) and a hash, and pip to 26.1 or newer. Therefore pipx must run
        with Python 3.10 or newer. C(scripts/make_bundle.py) writes such a file, see C(docs/offline.md).
      - O(constraints) determine the version. O(state=latest) and check mode do not query the index.
      - The packages of the system (pipx on the Debian family) are verified by its package manager. On the RHEL family
        without pipx, the module fails, because it would install pipx with pip, without hashes.
      - An existing environment is not rebuilt because of this option.
    type: bool
    default: false
    version_added: 1.1.0
  keep:
    description:
      - Number of earlier environments to keep on the host after a change, starting with the one used last.
      - If a kept environment matches the options and still works, the module switches back to it. It builds and
        installs nothing then, and does not contact the index, except to find the newest version with O(state=latest).
      - With V(0), an earlier environment is removed as soon as no process runs in it.
      - An environment in which a process runs is never removed. An incomplete one is never kept.
      - With the default extras, each environment takes some 35 to 45 MB in O(pipx_home); see RV(kept).
    type: int
    default: 1
    version_added: 1.1.0
  return_to:
    description:
      - Path of a kept environment, from RV(kept), or a version. Takes precedence over O(version), O(extras), O(python)
        and O(constraints).
      - With a path, the module switches back to that environment. It fails without a change if the environment is not
        kept or no longer works.
      - With a version, the module switches back to a kept environment of that version, or builds the version with the
        extras that are installed.
      - The playbook upgrade_patroni uses it to return a member whose new Patroni does not start.
    type: str
    version_added: 1.1.0
  lock_timeout:
    description:
      - Maximum time in seconds to wait for another apt, dnf or C(patroni_install) process.
    type: int
    default: 300
  retries:
    description:
      - Number of retries after a transient download failure, such as a DNS error. A version that does not exist fails
        immediately.
    type: int
    default: 5
  retry_delay:
    description:
      - Time in seconds to wait before each retry.
    type: int
    default: 20
  login_shell:
    description:
      - Whether login shells of the account find C(patroni) and C(patronictl), and C(patronictl) finds the
        configuration of the unit. For this, V(/etc/profile.d/patroni.sh) adds O(bin_dir) to C(PATH) and sets
        C(PATRONICTL_CONFIG_FILE), unless that is already set. The file belongs to root, and does nothing for any other
        user.
      - With V(false), and with O(state=absent), the file is removed if the module wrote it together with O(unit_path).
        A file of other origin is neither replaced nor removed, so only one installation on a host can have the file.
      - Needs root to change the file, and an account other than root.
    type: bool
    default: false
    version_added: 1.1.0
  force:
    description:
      - With O(state=absent), remove Patroni even if its service is active or enabled, or processes run in its
        environment. They are not stopped.
    type: bool
    default: false
requirements:
  - Python 3.8 or newer on the host
  - root, unless the module runs as O(user)
  - setpriv (package util-linux), if root works for another account
notes:
  - The module needs no facts; you can set C(gather_facts=false).
  - Programs that the module starts do not inherit the variables of the session, such as the task's C(environment), with
    a few exceptions. apt, dnf, pip and pipx get proxies (E(https_proxy)) and certificates (E(SSL_CERT_FILE)); pip and
    pipx also get the pip settings for the index (E(PIP_INDEX_URL), E(PIP_CERT)). C(docs/security.md) lists them.
  - The configuration files of pip are used for the index and certificates. Settings about how to install, such as
    C(user) or C(require-virtualenv), are overridden.
  - pipx is told to use pip, not uv, because uv ignores E(PIP_INDEX_URL), similar variables and the configuration of
    pip.
seealso:
  - name: install_patroni
    description: The role of this collection that calls the module.
    link: https://github.com/pgEdge/pgedge-platform/blob/main/docs/reference/install_patroni.md
  - name: Patroni
    description: The documentation of Patroni.
    link: https://patroni.readthedocs.io/
  - name: pipx
    description: The documentation of pipx.
    link: https://pipx.pypa.io/
"""

EXAMPLES = r"""
- name: Install Patroni as the postgres account
  pgedge.platform.patroni_install:

- name: Show what an installation would do, without doing it
  pgedge.platform.patroni_install:
  check_mode: true
  diff: true

- name: Install an exact version, with the clients of etcd and Consul
  pgedge.platform.patroni_install:
    version: 4.1.5
    extras: [psycopg2-binary, etcd, consul]

- name: Upgrade to the newest version, and register whether Patroni needs a restart
  pgedge.platform.patroni_install:
    state: latest
  register: patroni

- name: Roll back to the previous version, which the upgrade kept
  pgedge.platform.patroni_install:
    version: 4.0.11

- name: Keep no earlier versions on the host
  pgedge.platform.patroni_install:
    keep: 0

- name: Remove Patroni from a host that left the cluster
  pgedge.platform.patroni_install:
    state: absent

- name: Link the executables in another directory
  pgedge.platform.patroni_install:
    bin_dir: /opt/patroni/bin
    config_dir: /etc/patroni

- name: Install through a proxy and with a private certificate authority
  pgedge.platform.patroni_install:
  environment:
    https_proxy: http://proxy.example.com:3128
    PIP_CERT: /etc/pki/tls/certs/ca-bundle.crt

- name: Install on a host without internet access, from a wheelhouse copied to the host
  pgedge.platform.patroni_install:
    find_links: [/srv/wheelhouse]
    no_index: true
    constraints: /srv/wheelhouse/constraints.txt

- name: Install with your own pipx
  pgedge.platform.patroni_install:
    pipx_executable: /opt/pipx/bin/pipx

- name: Install with the role, on a host of a high availability cluster
  ansible.builtin.include_role:
    name: pgedge.platform.install_patroni
  vars:
    patroni_bin_dir: /opt/patroni/bin
"""

RETURN = r"""
msg:
  description:
    - One-line summary of what was done or, in check mode, what would be done.
    - It also gives the reason for a rebuild and reports that the service needs a restart.
  returned: always
  type: str
  sample: Patroni 4.1.5 is installed in /var/lib/postgresql/.local/share/pipx/venvs/patroni
version:
  description:
    - The installed version of Patroni.
    - In check mode, the version that would be installed; null if only the index determines it.
  returned: success
  type: str
  sample: 4.1.5
previous_version:
  description: The version found before the run; null if Patroni was not installed or its version could not be
    determined.
  returned: success
  type: str
  sample: 4.0.11
bin_dir:
  description: Directory of the links to the executables.
  returned: success
  type: str
  sample: /var/lib/postgresql/.local/bin
venv:
  description: The environment in which Patroni is installed.
  returned: success
  type: str
  sample: /var/lib/postgresql/.local/share/pipx/venvs/patroni
pipx:
  description: The pipx that builds the environment.
  returned: when an environment is built; in check mode only if this pipx is already installed
  type: dict
  contains:
    path:
      description: Path of pipx.
      type: str
      sample: /usr/bin/pipx
    version:
      description: Version of pipx.
      type: str
      sample: 1.1.0
packages:
  description:
    - The distributions in the environment, such as Patroni and all that it depends on, with their versions.
    - In check mode, those of the environment in use.
  returned: when another environment was put in place; if Ansible was called with C(-v), whenever there is one
  type: dict
  sample: {"click": "8.5.1", "patroni": "4.1.5", "psycopg2-binary": "2.9.13"}
unit_path:
  description: Path of the systemd unit.
  returned: success
  type: str
  sample: /etc/systemd/system/patroni.service
config_dir:
  description: The configuration directory.
  returned: success
  type: str
  sample: /etc/patroni
config_file:
  description: The configuration with which the unit starts Patroni, a file or a directory. It need not exist.
  returned: success
  type: str
  sample: /etc/patroni/patroni.yaml
kept:
  description:
    - The earlier environments that are kept, see O(keep), starting with the one used last.
    - In check mode, the environments that would be kept.
  returned: success
  type: list
  elements: dict
  contains:
    version:
      description: Version of Patroni in the environment.
      type: str
      sample: 4.0.11
    path:
      description: Path of the environment.
      type: str
      sample: /var/lib/postgresql/.local/share/pipx/patroni/1/venvs/patroni
    size:
      description:
        - Disk usage in bytes, measured when the environment was replaced.
        - In check mode, null for the environment that would be replaced.
      type: int
      sample: 66060288
    since:
      description:
        - Time at which the environment was replaced, in UTC.
        - In check mode, null for the environment that would be replaced.
      type: str
      sample: "2026-11-25T13:14:49Z"
steps:
  description:
    - The steps that were carried out, in order; in check mode, the steps that would be carried out.
    - On failure, the steps that were completed before it.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description:
        - The action. One of V(refresh_package_lists), V(install_packages), V(install_pipx), V(create_directory),
          V(set_attributes), V(set_label), V(remove_directory), V(build_environment), V(keep_environment),
          V(switch_environment), V(switch_back), V(remove_environment), V(expose_executables), V(remove_executables),
          V(write_unit), V(remove_unit), V(reload_systemd), V(write_profile), V(remove_profile).
        - V(build_environment) builds in a directory of its own, next to the environment in use. V(switch_environment)
          switches to the new environment with one rename, V(switch_back) to a kept one, see O(keep).
          V(keep_environment) records that the environment in use is complete before another one replaces it.
        - V(remove_environment) removes environments that are incomplete or exceed O(keep). An environment in which the
          service still runs stays until the first run after its restart.
      type: str
      sample: build_environment
    target:
      description: What the action applied to, such as a path, a package or a requirement.
      type: str
      sample: patroni[psycopg2-binary,etcd]
    seconds:
      description: The duration of the step. Not returned in check mode.
      type: float
      sample: 8.31
restart_required:
  description:
    - Whether the service runs with code or a unit older than the installed ones; in check mode, whether it would.
    - Restarting Patroni also restarts Postgres, unless the cluster is paused, so the module leaves the restart to you.
  returned: success
  type: bool
  sample: false
failed_step:
  description: The step that failed, with its action and its target.
  returned: on failure of a step
  type: dict
  sample:
    action: build_environment
    target: patroni[psycopg2-binary,etcd]==4.1.5
cmd:
  description: The command that failed.
  returned: on failure of a command
  type: list
  elements: str
rc:
  description: Return code of the command.
  returned: on failure of a command
  type: int
stdout:
  description: Standard output of the command.
  returned: on failure of a command
  type: str
stderr:
  description: Standard error of the command.
  returned: on failure of a command
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._errors import PatroniInstallError
from ..module_utils._host import Host
from ..module_utils._patroni._report import failure
from ..module_utils._patroni._run import run

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "latest", "absent"], "default": "present"},
    "version": {"type": "str"},
    "extras": {"type": "list", "elements": "str", "default": ["psycopg2-binary", "etcd"]},
    "user": {"type": "str", "default": "postgres"},
    "group": {"type": "str"},
    "bin_dir": {"type": "path"},
    "pipx_home": {"type": "path"},
    "config_dir": {"type": "path", "default": "/etc/patroni"},
    "config_file": {"type": "str"},
    "unit_path": {"type": "path", "default": "/etc/systemd/system/patroni.service"},
    "pipx_executable": {"type": "path"},
    "pipx_version": {"type": "str"},
    "python": {"type": "str"},
    "index_url": {"type": "str", "no_log": True},
    "find_links": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "no_index": {"type": "bool", "default": False},
    "constraints": {"type": "path"},
    "require_hashes": {"type": "bool", "default": False},
    "keep": {"type": "int", "default": 1},
    "return_to": {"type": "str"},
    "lock_timeout": {"type": "int", "default": 300},
    "retries": {"type": "int", "default": 5},
    "retry_delay": {"type": "int", "default": 20},
    "login_shell": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, Host(module), check_mode=module.check_mode)
    except (PatroniInstallError, OSError) as error:
        module.fail_json(**failure(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
