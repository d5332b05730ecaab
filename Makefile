# Copyright (c) 2026 pgEdge and contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
# The first pip that knows dependency groups is 25.1; Debian 12 has 23.0.
PIP_VERSION := 26.3

ROOT := $(CURDIR)
BIN := $(ROOT)/.venv/bin
TARBALL := .build/pgedge-platform-$(shell sed -n 's/^version: //p' galaxy.yml).tar.gz
INSTALLED := .build/collections/ansible_collections/pgedge/platform
SITE := sphinx-build --fail-on-warning --keep-going --quiet -b html -c docs/_site docs .build/site
CHECKED := collections/ansible_collections/pgedge/platform
# Folders too, so that a file that is gone counts as a change.
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
.PHONY: help demo build test lint docs-check unit rootless hosts cluster test-faults site reference picture changelog clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: .venv/demo.stamp build ## Install Patroni below ./.demo, without root
	@demo/run

build: $(INSTALLED)/MANIFEST.json ## Build the collection and install the tarball below ./.build

test: lint docs-check ## Lint, documentation, unit, rootless, and hosts where Docker answers
	pytest -rs

lint: .venv/dev.stamp build $(CHECKED) ## Check style and types
	shellcheck .ci/run demo/run extensions/molecule/cluster/look_around tests/images/build
	ruff check
	ruff format --check
	mypy
	yamllint --strict .
	reuse lint --lines
	@# The roles that stand in for the platform's are the scenarios' own.
	ANSIBLE_ROLES_PATH=extensions/molecule/cluster/stand_ins:extensions/molecule/shared/stand_ins ansible-lint

docs-check: .venv/dev.stamp build $(CHECKED) ## Check that the documentation renders and is current
	ansible-doc --type module pgedge.platform.patroni_install >/dev/null
	ansible-doc --type role pgedge.platform.install_patroni >/dev/null
	@# It logs to the home of whoever calls it.
	HOME=$(ROOT)/.build antsibull-docs lint-collection-docs --plugin-docs $(INSTALLED)
	cd $(CHECKED) && antsibull-changelog lint && antsibull-changelog generate --output $(ROOT)/.build/CHANGELOG.md
	diff -u CHANGELOG.md .build/CHANGELOG.md
	python docs/_site/make_reference.py --check
	$(SITE)

site: .venv/dev.stamp ## Build the documentation's site below ./.build/site
	$(SITE)

reference: .venv/dev.stamp build ## Write docs/reference from the documentation in the code
	python docs/_site/make_reference.py

picture: ## Draw docs/images with dot, of Debian's package graphviz
	dot -Tsvg docs/images/overview.dot -o docs/images/overview.svg

changelog: .venv/dev.stamp $(CHECKED) ## Take the changelog's fragments up for a release
	cd $(CHECKED) && antsibull-changelog release

unit: .venv/dev.stamp $(CHECKED) ## Run the unit tests
	pytest -rs tests/unit

rootless: .venv/dev.stamp ## Install for real on this machine, without root
	pytest -rs tests/integration/test_rootless.py

hosts: .venv/dev.stamp ## Install for real on hosts booted in Docker
	pytest -rs -m hosts

cluster: .venv/dev.stamp build ## Bring up a cluster of three hosts, leave it running, and say how to look at it
	tests/images/build debian12
	molecule converge --scenario-name cluster
	@extensions/molecule/cluster/look_around

test-faults: .venv/dev.stamp ## Watch and kill installations on real hosts, in full, and print the figures
	PGEDGE_FAULTS=full PGEDGE_REQUIRE_ENGINE=1 pytest -rs tests/integration/test_lifecycle.py tests/integration/test_faults.py

clean: ## Remove everything that make has made
	rm -rf .ansible .build .cache .demo .mypy_cache .pytest_cache .ruff_cache .venv collections

.venv/pip.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet pip==$(PIP_VERSION)
	@touch $@

.venv/%.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/pip install --quiet --group $*
	@touch $@

$(TARBALL): .venv/demo.stamp $(SOURCES)
	ansible-galaxy collection build --force --output-path .build

$(INSTALLED)/MANIFEST.json: $(TARBALL)
	ansible-galaxy collection install --force --offline --collections-path .build/collections $<
	@touch $@

# Tests import the checkout under its collection name, whatever its folder is called.
$(CHECKED):
	mkdir -p $(@D)
	ln -s ../../.. $@
