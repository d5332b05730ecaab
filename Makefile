# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
DCS ?= etcd

ROOT := $(CURDIR)
BIN := $(ROOT)/.venv/bin
TARBALL := .build/pgedge-platform-$(shell sed -n 's/^version: //p' galaxy.yml).tar.gz
INSTALLED := .build/collections/ansible_collections/pgedge/platform
# The pages, and next to them those that antsibull-docs makes. It keeps a log in the home of whoever calls it.
PAGES := .build/pages
ANTSIBULL_DOCS := HOME=$(ROOT)/.build antsibull-docs
CHECKED := collections/ansible_collections/pgedge/platform
# Directories too, so that a removed file counts as a change.
SOURCES := galaxy.yml README.md CHANGELOG.md LICENSE SECURITY.md $(shell find changelogs/*.yaml docs meta playbooks plugins roles scripts -not -path '*__pycache__*')

export PATH := $(BIN):$(PATH)
# Ansible and pip keep their files in the checkout, not in the caller's home.
export ANSIBLE_HOME := $(ROOT)/.build/ansible
export ANSIBLE_COLLECTIONS_PATH := $(ROOT)/.build/collections
export MOLECULE_EPHEMERAL_DIRECTORY := $(ROOT)/.build/molecule
export PIP_CACHE_DIR ?= $(ROOT)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo build test checks installs cluster-test cluster-test-all style documentation site reference pictures changelog unit rootless hosts \
	cluster coverage fault-test machine-test matrix bench bench-quick bench-docs lock merge clean collection-path release-check

help: ## List the targets
	@sed -n -e 's/^#@ /\n/p' -e 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
	@echo
	@echo "Each check alone: .venv/bin/nox -l lists them, .venv/bin/nox -s NAME runs one."

#@ Use

demo: .venv/demo.stamp build ## Install Patroni below ./.demo, without root
	@demo/run

cluster: export MOLECULE_CLUSTER_DCS = $(DCS)
cluster: .venv/dev.stamp build ## Deploy two clusters of three hosts, DCS=etcd, zookeeper or raft; print how to inspect them
	tests/images/build debian12
	molecule converge --scenario-name cluster
	@extensions/molecule/cluster/look_around

merge: ## Merge module, role and playbooks into a checkout of the platform, INTO=path; preview with CHECK=1
	@$(PYTHON) scripts/merge_into_platform.py $(if $(CHECK),--check) $(if $(INTO),"$(INTO)")

#@ Check

test: checks installs cluster-test ## Run every check that this machine allows; skipped checks are listed at the end
	# After the others, because it takes two processors for itself.
	$(MAKE) machine-test
	@python tests/matrix.py table

checks: .venv/dev.stamp ## Run the checks that install nothing: style, types, documentation, tests on each ansible-core
	nox --tags static core

installs: .venv/dev.stamp ## Run the installation tests: on this machine, and on hosts in Docker
	nox --tags real

style: .venv/dev.stamp ## Check style, types and license headers
	nox -s lint extra-checks license-check types shell ansible-lint

documentation: .venv/dev.stamp ## Check spelling and wording, and that the documentation renders and is current
	nox -s docs-check pages prose changelog

unit: .venv/dev.stamp ## Run the unit tests
	nox -s unit

rootless: .venv/dev.stamp ## Install on this machine, without root
	nox -s rootless

hosts: .venv/dev.stamp ## Install on hosts booted in Docker
	nox -s hosts

cluster-test: .venv/dev.stamp ## Deploy, upgrade and fail over two clusters, and print the figures
	nox -s cluster-test

cluster-test-all: .venv/dev.stamp ## Run cluster-test with every failing upgrade, other kinds of clusters, and interruptions
	nox -s cluster-test-all

machine-test: .venv/dev.stamp ## Install on virtual machines, with SELinux and power cuts
	nox -s machine-test

fault-test: .venv/dev.stamp ## Run fault-injection tests on hosts and print the figures
	nox -s fault-test

coverage: .venv/dev.stamp ## Run the unit tests and those on hosts, and print which lines of the plugins run in none
	nox -s coverage

bench-quick: .venv/dev.stamp build ## Run one round of each benchmark, to check that it works
	tests/images/build debian12
	python bench/run.py --quick

matrix: .venv/dev.stamp ## Print the results of the last runs for each ansible-core and Python
	@python tests/matrix.py table

#@ Maintain and release

build: $(INSTALLED)/MANIFEST.json ## Build the collection and install it below ./.build

site: .venv/dev.stamp build ## Build the documentation site below ./.build/site
	rm -rf $(PAGES) .build/site
	cp -R docs $(PAGES)
	mkdir -m 755 $(PAGES)/collection
	$(ANTSIBULL_DOCS) collection --use-current --squash-hierarchy --fail-on-error --no-add-antsibull-docs-version \
		--dest-dir $(PAGES)/collection pgedge.platform
	sphinx-build --fail-on-warning --keep-going --quiet -b html -c docs/_site $(PAGES) .build/site

reference: .venv/dev.stamp ## Generate the files of the role and docs/reference from the documentation in the code
	python docs/_site/make_role.py
	$(MAKE) --silent build
	python docs/_site/make_reference.py

pictures: .venv/dev.stamp build ## Redraw docs/images: overview (needs graphviz), benchmark, and terminals from real runs
	dot -Tsvg docs/images/overview.dot -o docs/images/overview.svg
	python bench/plot.py docs/bench.json docs/images/bench.png
	python docs/_site/make_pictures.py

release-check: .venv/dev.stamp ## Make the files of a release below ./.build/release, and try them with each ansible-core
	nox -s release-check

changelog: .venv/dev.stamp collection-path ## Merge the changelog fragments into a release
	cd $(CHECKED) && antsibull-changelog release

bench: .venv/dev.stamp build ## Measure against ping, tasks and bare commands on hosts over ssh; takes an hour
	tests/images/build debian12
	python bench/run.py

bench-docs: .venv/dev.stamp build ## Run the benchmark and write the figures into docs/performance.md
	tests/images/build debian12
	python bench/run.py --publish

lock: .venv/dev.stamp ## Renew the locked dependencies
	nox -s lock

clean: ## Remove everything that make created
	rm -rf .ansible .build .cache .demo .mypy_cache .pytest_cache .ruff_cache .venv collections

.venv/made.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/%.stamp: requirements/%.txt .venv/made.stamp
	$(BIN)/pip install --quiet --require-hashes --requirement $<
	@touch $@

$(TARBALL): .venv/demo.stamp $(SOURCES)
	ansible-galaxy collection build --force --output-path .build

$(INSTALLED)/MANIFEST.json: $(TARBALL)
	ansible-galaxy collection install --force --offline --collections-path .build/collections $<
	@touch $@

# Tests import the checkout under its collection name, whatever its directory is called.
collection-path: $(CHECKED)

$(CHECKED):
	mkdir -p $(@D)
	ln -s ../../.. $@
