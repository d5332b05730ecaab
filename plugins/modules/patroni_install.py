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
  - Brings one host to the state "Patroni is installed here". That is the tools to install it with, an isolated
    environment that pipx makes and the database account owns, a systemd unit that is root's and stays disabled,
    and a private configuration directory.
  - The module first looks at what is there, from files alone. A working Patroni ends the installation part; no package
    is installed then, no network is touched, and no process is started beyond one query to systemd.
  - It never starts, stops, restarts, enables or disables the service. RV(restart_required) tells when a restart is due.
  - It configures no cluster and installs neither Postgres nor etcd; C(setup_patroni), C(install_pgedge) and
    C(install_etcd) are the roles for that, and C(init_server) is the one that creates the account.
attributes:
  check_mode:
    support: full
    description: Shows the same steps that a real run then carries out. Works on a host whose account is still to be
      created by an earlier role of the same play; a warning says what is assumed about it. Where a Patroni of another
      version than O(version) is there, the index is asked whether it offers that version.
  diff_mode:
    support: full
    description: Shows the text of the unit, the version and the extras of the environment, and why that did not do,
      further the packages that are installed, and the directories that come or go, with their owners and modes.
  platform:
    platforms: posix
    support: full
    description: Linux of the Debian family (Debian, Ubuntu and derivatives) and of the RHEL family (RHEL, Rocky, Alma,
      Oracle, CentOS Stream, Amazon Linux 2023, Fedora and derivatives).
options:
  state:
    description:
      - With V(present), a Patroni that works is there, of O(version) if that is given, with O(extras).
      - With V(latest), it is the newest that pip would install with this Python, from this index and under these
        O(constraints).
      - With V(absent), the environment, the executables that lead to it and the unit are gone. Configuration, data,
        pipx and what others put there stay. This is refused while the service is active or enabled, or processes run
        in the environment, see O(force). Where another unit starts something of the environment, it stays, RV(msg) says
        for which unit, and this unit alone is removed.
    type: str
    choices: [present, latest, absent]
    default: present
  version:
    description:
      - The exact version of Patroni to have, as in PEP 440, such as V(4.1.5).
      - What is installed is upgraded or downgraded to it.
      - Without it, an installation takes the newest that the index offers, and what is installed stays as it is.
    type: str
  extras:
    description:
      - The extras of Patroni to have in the environment. One is the Postgres driver, without which Patroni does not
        start; another is the client of the distributed configuration store.
      - Extras that the environment has beyond these stay.
      - The unit is of C(Type=notify) if the installed Patroni can notify systemd, that is Patroni 4.1 or newer with
        C(systemd-python) in its environment, as V(systemd) and V(all) bring it; else of C(Type=simple).
    type: list
    elements: str
    default: [psycopg2-binary, etcd]
  user:
    description:
      - The account that owns and runs Patroni. It must exist, with its home; C(init_server) creates it.
      - Where this is the account that runs the module, root is not needed, provided that it may write to every path.
    type: str
    default: postgres
  group:
    description:
      - The group of the configuration directory and of the service. The default is the account's primary group.
    type: str
  bin_dir:
    description:
      - Where C(patroni), C(patronictl) and Patroni's other executables are exposed, as links into the environment.
      - The default is C(.local/bin) in the account's home, V(/var/lib/postgresql/.local/bin) on the Debian family and
        V(/var/lib/pgsql/.local/bin) on the RHEL family, as their Postgres packages create the account.
      - Missing folders outside the reach of the account are created by root, the last of them for the account.
    type: path
  pipx_home:
    description:
      - The home of pipx; the environment is C(venvs/patroni) in it, whatever this pipx's own default is.
      - The default is C(.local/share/pipx) in the account's home.
    type: path
  config_dir:
    description:
      - The directory for Patroni's configuration, created with owner O(user), group O(group) and mode 0700.
      - What is in it is left alone.
    type: path
    default: /etc/patroni
  config_file:
    description:
      - The configuration file that the unit starts Patroni with. A bare name lies in O(config_dir).
      - The default is the file that the unit on the host already names, if it exists, so that a unit that somebody
        else wrote keeps its configuration. Otherwise it is C(patroni.yaml) in O(config_dir).
      - Where the unit does not tell, as with a variable, the configuration of its running process counts.
      - The module does not write it. If it is missing while O(config_dir) holds other C(.yml) or C(.yaml) files, a
        warning names them.
    type: str
  unit_path:
    description:
      - The systemd unit, owned by root with mode 0644. It is written again whenever its text, owner or mode differ.
      - When it takes the place of a unit that somebody else wrote, a warning names the settings that are not kept.
      - Drop-ins, in the folder of the same name with C(.d) behind it, are the place for local settings; they are never
        touched.
      - C(systemctl daemon-reload) is run when systemd runs, looks for units in this folder, and has not read the file.
    type: path
    default: /etc/systemd/system/patroni.service
  pipx_executable:
    description:
      - A pipx that you provide and that O(user) can run. No prerequisite is installed then.
      - By default one is looked for on the C(PATH), in the system's usual folders and in C(.local/bin) of the account's
        home. If there is none, it is installed; with C(apt-get) on the Debian family, and on the RHEL family with
        C(dnf) for C(python3-pip) and then with C(pip3).
    type: path
  pipx_version:
    description:
      - The version of pipx for C(pip3) to install on the RHEL family. A pipx that is there already is used as it is.
    type: str
  python:
    description:
      - The interpreter of the environment, as a name to be found on the C(PATH) or as an absolute path.
      - An environment with another interpreter is built anew. A wrapper or a shim, such as those of pyenv, counts as
        the interpreter that it starts for O(user). If a shim starts another one later, while its own file stays as it
        was, that is not noticed; name the interpreter itself then.
      - The default is the one that pipx chooses, which is its own; any that is in use is then fine.
    type: str
  index_url:
    description:
      - The package index to install from, instead of the one that pip is configured with.
      - A credential in it is neither logged nor returned, nor visible in a process list, nor written to a file.
    type: str
  find_links:
    description:
      - Folders on the host, or URLs, to look for packages in as well, such as a wheelhouse for a host without internet.
      - Credentials are treated as in O(index_url).
    type: list
    elements: str
    default: []
  no_index:
    description:
      - Ask no index; O(find_links) alone says where packages come from.
    type: bool
    default: false
  constraints:
    description:
      - A constraints file of pip on the host, which O(user) can read. It pins what is installed with Patroni. Files
        that it names with C(-c) or C(-r) count as well.
      - Where the environment has a version that a line such as C(click<9) or C(patroni==4.1.5; python_version>="3.9")
        does not allow, it is built anew.
      - A O(version) that the file does not allow is refused.
      - A line with a URL or a variable, and a marker that cannot be judged from files alone, are left to pip.
    type: path
  keep:
    description:
      - How many earlier environments stay on the host after a change, the one that was in use last first.
      - A kept environment that is as desired and still works is switched to. Nothing is built or installed then, and no
        index is asked, except for the newest version with O(state=latest).
      - With V(0), each is removed as soon as no process runs in it.
      - An environment that a process runs in always stays. One that is not complete is never kept.
      - With the default extras each takes some 35 to 45 MB in O(pipx_home), see RV(kept).
    type: int
    default: 1
    version_added: 1.1.0
  return_to:
    description:
      - The path of a kept environment, from RV(kept), or a version. Takes precedence over O(version), O(extras),
        O(python) and O(constraints).
      - With a path, the module switches back to that environment. If it is not kept, or no longer works, the module
        fails without a change.
      - With a version, the module switches back to a kept environment of that version, or builds the version with the
        present extras.
      - The playbook upgrade_patroni uses it to return a member whose new Patroni does not start.
    type: str
    version_added: 1.1.0
  lock_timeout:
    description:
      - How long to wait for another apt, dnf or run of this module to end, in seconds.
    type: int
    default: 300
  retries:
    description:
      - How often to try again when a download fails for a reason that may pass, such as a name server that does not
        answer. A version that does not exist fails at once.
    type: int
    default: 5
  retry_delay:
    description:
      - How long to wait before each such try, in seconds.
    type: int
    default: 20
  force:
    description:
      - With O(state=absent), remove Patroni also while its service is active or enabled, or processes run in its
        environment. Nothing is stopped.
    type: bool
    default: false
requirements:
  - Python 3.8 or newer on the host
  - root, unless O(user) is the account that runs the module
  - setpriv (package util-linux) where root works for another account
notes:
  - No facts are needed; C(gather_facts=false) is fine.
  - Of the variables of the session, such as the task's C(environment), only those that are needed reach the programs
    that the module starts. apt, dnf, pip and pipx get proxies (E(https_proxy)) and certificates (E(SSL_CERT_FILE)); pip
    and pipx also get pip's settings for the index (E(PIP_INDEX_URL), E(PIP_CERT)). C(docs/security.md) lists them.
  - pip's configuration files are used for the index and the certificates. Where they say how to install, such as
    C(user) or C(require-virtualenv), they are overruled.
  - pipx is told to use pip, not uv, because uv heeds neither E(PIP_INDEX_URL) and its like nor pip's configuration.
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

- name: Install this very version, with the clients of etcd and Consul
  pgedge.platform.patroni_install:
    version: 4.1.5
    extras: [psycopg2-binary, etcd, consul]

- name: Upgrade to the newest, and say whether the service is to be restarted
  pgedge.platform.patroni_install:
    state: latest
  register: patroni

- name: Go back to the version before, which the upgrade has kept
  pgedge.platform.patroni_install:
    version: 4.0.11

- name: Keep nothing of earlier versions on the host
  pgedge.platform.patroni_install:
    keep: 0

- name: Remove Patroni from a host that left the cluster
  pgedge.platform.patroni_install:
    state: absent

- name: Expose the executables in another folder
  pgedge.platform.patroni_install:
    bin_dir: /opt/patroni/bin
    config_dir: /etc/patroni

- name: Install from behind a proxy and a private certificate authority
  pgedge.platform.patroni_install:
  environment:
    https_proxy: http://proxy.example.com:3128
    PIP_CERT: /etc/pki/tls/certs/ca-bundle.crt

- name: Install on a host without internet, from a wheelhouse that was copied to it
  pgedge.platform.patroni_install:
    find_links: [/srv/wheelhouse]
    no_index: true
    constraints: /srv/wheelhouse/constraints.txt

- name: Install with a pipx of your own
  pgedge.platform.patroni_install:
    pipx_executable: /opt/pipx/bin/pipx

- name: Install through the role, on a host of a high availability cluster
  ansible.builtin.include_role:
    name: pgedge.platform.install_patroni
  vars:
    patroni_bin_dir: /opt/patroni/bin
"""

RETURN = r"""
msg:
  description:
    - What happened, in one line; in check mode what would.
    - It also says why an environment that was there did not do, and when the service is to be restarted.
  returned: always
  type: str
  sample: Patroni 4.1.5 is installed in /var/lib/postgresql/.local/share/pipx/venvs/patroni
version:
  description:
    - The version of Patroni that is installed.
    - In check mode the one that would be; null where the index alone could tell.
  returned: success
  type: str
  sample: 4.1.5
previous_version:
  description: The version that was found; null where no Patroni was, or none whose version could be told.
  returned: success
  type: str
  sample: 4.0.11
bin_dir:
  description: Where the executables are exposed.
  returned: success
  type: str
  sample: /var/lib/postgresql/.local/bin
venv:
  description: The environment that Patroni is installed in.
  returned: success
  type: str
  sample: /var/lib/postgresql/.local/share/pipx/venvs/patroni
pipx:
  description: The pipx that builds the environment.
  returned: when an environment is built, in check mode only if that pipx is there already
  type: dict
  contains:
    path:
      description: Its path.
      type: str
      sample: /usr/bin/pipx
    version:
      description: Its version.
      type: str
      sample: 1.1.0
unit_path:
  description: The systemd unit.
  returned: success
  type: str
  sample: /etc/systemd/system/patroni.service
config_dir:
  description: The configuration directory.
  returned: success
  type: str
  sample: /etc/patroni
config_file:
  description: The configuration that the unit starts Patroni with, a file or a directory. It need not exist.
  returned: success
  type: str
  sample: /etc/patroni/patroni.yaml
kept:
  description:
    - The earlier environments that are kept for the way back, see O(keep), the one that was in use last first.
    - In check mode those that would be kept.
  returned: success
  type: list
  elements: dict
  contains:
    version:
      description: The version of Patroni in it.
      type: str
      sample: 4.0.11
    path:
      description: The environment.
      type: str
      sample: /var/lib/postgresql/.local/share/pipx/patroni/1/venvs/patroni
    size:
      description:
        - What it takes of the disk in bytes, as measured when it was left.
        - In check mode, null for the environment that would be left.
      type: int
      sample: 66060288
    since:
      description:
        - When it was left, in UTC.
        - In check mode, null for the environment that would be left.
      type: str
      sample: "2026-11-25T13:14:49Z"
steps:
  description:
    - The steps that were carried out, in that order; in check mode those that would be.
    - On failure those that were carried out before it.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description:
        - What was done. One of V(refresh_package_lists), V(install_packages), V(install_pipx), V(create_directory),
          V(set_attributes), V(set_label), V(remove_directory), V(build_environment), V(keep_environment),
          V(switch_environment), V(switch_back), V(remove_environment), V(expose_executables), V(remove_executables),
          V(write_unit), V(remove_unit), V(reload_systemd).
        - V(build_environment) builds in a folder of its own, beside what is in use; V(switch_environment) points to it,
          in one rename, and V(switch_back) to one that was kept, see O(keep). V(keep_environment) notes that the one in
          use is complete, before another takes its place.
        - V(remove_environment) removes what is beyond O(keep) or not complete. An environment that the service still
          runs in stays, and the first run after its restart removes it.
      type: str
      sample: build_environment
    target:
      description: To what, such as a path, a package or a requirement.
      type: str
      sample: patroni[psycopg2-binary,etcd]
restart_required:
  description:
    - Whether the service runs and its code or its unit is older than what is installed; in check mode, what it would
      be.
    - Restarting Patroni restarts Postgres, unless the cluster is paused, so that moment is yours to choose.
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
  description: Its return code.
  returned: on failure of a command
  type: int
stdout:
  description: Its standard output.
  returned: on failure of a command
  type: str
stderr:
  description: Its standard error.
  returned: on failure of a command
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pgedge.platform.plugins.module_utils._errors import PatroniInstallError
from ansible_collections.pgedge.platform.plugins.module_utils._host import Host
from ansible_collections.pgedge.platform.plugins.module_utils._report import failure
from ansible_collections.pgedge.platform.plugins.module_utils._run import run

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
    "keep": {"type": "int", "default": 1},
    "return_to": {"type": "str"},
    "lock_timeout": {"type": "int", "default": 300},
    "retries": {"type": "int", "default": 5},
    "retry_delay": {"type": "int", "default": 20},
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
