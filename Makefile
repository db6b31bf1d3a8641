# The everyday tasks of SentryFuse; `make` alone lists them.

# The Python that .venv was made with, if it is still there.
PYTHON ?= $(or $(wildcard $(shell cat .venv/base-python 2>/dev/null)),python3)
BIN := .venv/bin

# A sourced ROS distribution or an active virtual environment must not leak into .venv.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
unexport LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-ros2 check bench bench-sync bench-attention bench-runtime soak docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup:  ## make .venv with pinned wheels, this package's messages and the package itself
	@$(PYTHON) tools/setup_env.py

demo: setup  ## play a scripted story of failing sensors over real DDS
	@$(BIN)/sentryfuse demo $(ARGS)

# Two processes run the tests; `-n auto` is none beside them where ARGS has --pdb. A test that hangs ends its process
# with the stacks of its threads, and has failed.
test: export PYTEST_XDIST_AUTO_NUM_WORKERS ?= 2
test: check  ## the whole default test suite, real DDS included (ARGS="-k camera" narrows it)
	@$(BIN)/python -m pytest -n auto --dist worksteal -o faulthandler_exit_on_timeout=true $(ARGS)

test-ros2: setup  ## test/ros and test/launch with a workspace's or distribution's launch and tf2 (OVERLAY=/opt/ros/x)
	@$(BIN)/python tools/test_ros2.py "$(OVERLAY)" $(ARGS)

check: setup  ## lint, format, types, import arrows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup  ## measure, and write benchmarks/results/*.json
	@$(BIN)/python -m benchmarks.robot_path
	@$(BIN)/python -m benchmarks.table

bench-sync: setup  ## measure time and trust (ARGS="--quick", "--message-filters DIR"), write results/sync.json, ingest_live.json
	@$(BIN)/python -m benchmarks.sync $(ARGS)
	@$(BIN)/python -m benchmarks.ingest_live

bench-attention: setup  ## measure SentryAttend against dense attention (ARGS="--quick"), write results/attention.json
	@$(BIN)/python -m benchmarks.attention $(ARGS)

bench-runtime: setup  ## measure latency, memory, switching, replay, start (ARGS="--quick"), write results/runtime.json
	@$(BIN)/python -m benchmarks.runtime $(ARGS)

soak: setup  ## run the live node for 30 minutes with random faults and budgets (ARGS="--minutes 5"), write results/soak.json
	@$(BIN)/python -m benchmarks.soak $(ARGS)

# Laid out as the checkout is: README.md links into docs/, and pages link to figures and configuration beside docs/.
SITE := README.md CHANGELOG.md CONTRIBUTING.md docs benchmarks config

build/docs-env/installed: requirements-docs.txt
	@$(PYTHON) -m venv --clear build/docs-env
	@build/docs-env/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: build/docs-env/installed  ## build the documentation site, build/site/index.html; a dead link is an error
	@rm -rf build/docs && mkdir -p build/docs && ln -s $(SITE:%=../../%) build/docs
	@NO_MKDOCS_2_WARNING=1 build/docs-env/bin/mkdocs build

clean:  ## remove .venv, builds and caches
	rm -rf .venv build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
