# All set-up happens here, on demand: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
# More workers than this mostly wait for kernels that all of them compile.
PYTEST := $(BIN)/pytest -q -n auto --maxprocesses 8
PYTEST_ARGS ?=
BENCH_MODEL ?= $(HWSIM_DATA)/mlperf_tiny/resnet8_int8.tflite

# Stamps inside the environment: it can be deleted as a whole, and a second call has nothing to do.
RUNTIME := $(VENV)/.hwsim-runtime
DEV := $(VENV)/.hwsim-dev
SYNTH := $(VENV)/.hwsim-synth
DOCS := $(VENV)/.hwsim-docs
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Runs apt-get as root, quietly; updates its lists only where the package is not found without.
define APT_INSTALL
apt_install() { \
  command -v apt-get > /dev/null || return 1; \
  local root=(env DEBIAN_FRONTEND=noninteractive); \
  if [ "$$(id -u)" != 0 ]; then sudo -n true 2> /dev/null || return 1; root=(sudo -n "$${root[@]}"); fi; \
  echo "installing $$* with apt-get"; \
  "$${root[@]}" apt-get install -qq -y --no-install-recommends "$$@" < /dev/null > /dev/null 2>&1 || { \
    "$${root[@]}" apt-get update -qq < /dev/null > /dev/null 2>&1 || return 1; \
    "$${root[@]}" apt-get install -qq -y --no-install-recommends "$$@" < /dev/null > /dev/null 2>&1; }; }
endef

.PHONY: help demo test test-all mutants lint format bench reports docs wheel setup clean icarus

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo 'PYTHON=...       the Python to make $(VENV) with (default: the first of 3.11 or newer)'
	@echo 'VENV=...         another place for the environment; PIP_* variables reach pip as they are'
	@echo 'HWSIM_DATA=...   the data pack (docs/data.md): tests that need it skip where it is unset'
	@echo 'PYTEST_ARGS=...  more arguments for pytest, such as "-k softmax -x"'
	@echo 'REPORTS=...      the parts of reports/ that make reports writes (default: all), such as "quantization readme"'
	@echo 'BENCH_MODEL=...  what make bench measures (default: ResNet-8 of the data pack)'

demo: $(RUNTIME) ## run a bundled CNN on real images and name the report to open
	@$(BIN)/hwsim run digits_cnn --data digits --report out/demo

test: $(DEV) icarus ## the tests, RTL in simulation among them (minutes)
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: $(SYNTH) icarus ## the tests and the slow ones, FPGA tools among them
	@$(PYTEST) $(PYTEST_ARGS)

mutants: $(DEV) icarus ## put single faults into the RTL and print which ones the bench sees
	@$(BIN)/python tests/rtl/mutants.py

# mypy sees hwsim as it is installed, with the two folders of the top level in their places.
lint: $(DEV) ## style, format and types
	@failed=0; \
	$(BIN)/ruff check --quiet . || failed=1; \
	$(BIN)/ruff format --check --quiet . || { echo "not formatted: make format"; failed=1; }; \
	rm -rf .make/types && mkdir -p .make/types/hwsim; \
	ln -s $(CURDIR)/hwsim/* $(CURDIR)/models $(CURDIR)/rtl .make/types/hwsim/; \
	(cd .make/types && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache) \
	  || failed=1; \
	exit $$failed

format: $(DEV) ## write the format that lint asks for
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(DEV) ## images per second beside LiteRT's reference kernels, on one core
	@[ -f "$(BENCH_MODEL)" ] || { echo "make bench needs HWSIM_DATA (docs/data.md) or BENCH_MODEL=FILE"; exit 2; }
	@$(BIN)/hwsim bench "$(BENCH_MODEL)"

reports: $(SYNTH) icarus ## write reports/ and the figures in the README again (hours; needs HWSIM_DATA)
	@$(BIN)/python reports/regenerate.py $(REPORTS)

# Side by side as in the repository, so that the links of the pages hold.
docs: $(DOCS) ## user guide and API reference as pages in out/docs
	@rm -rf .make/docs && mkdir -p .make/docs/models
	@ln -s $(addprefix $(CURDIR)/,README.md CHANGELOG.md LICENSE docs reports examples) .make/docs/
	@ln -s $(CURDIR)/models/README.md .make/docs/models/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build 2>&1 | { grep -v '^INFO' || true; } # not --quiet: it would count no warnings
	@echo "documentation: out/docs/index.html"

wheel: $(BIN)/python ## dist/hwsim-*.whl
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@rm -rf build && ls dist/*.whl

setup: $(DEV) icarus ## all of the set-up and nothing else

clean: ## delete what make wrote, the environment apart
	@rm -rf out build dist .make hwsim.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find hwsim models rtl tests reports -name __pycache__ -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml setup.py | $(BIN)/python
	@echo "installing hwsim into $(VENV)"
	@$(INSTALL) -e .
	@touch $@

$(DEV): pyproject.toml setup.py | $(BIN)/python
	@echo "installing hwsim and its development tools into $(VENV)"
	@$(INSTALL) -e '.[dev]'
	@touch $(RUNTIME) $@

$(SYNTH): $(DEV)
	@echo "installing the FPGA tools into $(VENV)"
	@$(INSTALL) -e '.[dev,synth]'
	@touch $(RUNTIME) $(DEV) $@

$(DOCS): pyproject.toml setup.py | $(BIN)/python
	@echo "installing hwsim and what builds its documentation into $(VENV)"
	@$(INSTALL) -e '.[docs]'
	@touch $(RUNTIME) $@

$(BIN)/python:
	@python="$(PYTHON)"; \
	for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	  [ -z "$$python" ] || break; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then python=$$candidate; fi; \
	done; \
	[ -n "$$python" ] || { echo "hwsim needs Python 3.11 or newer on the PATH; or name it: make PYTHON=/path/to/python3"; exit 1; }; \
	$(APT_INSTALL); \
	"$$python" -c 'import ensurepip, venv' 2> /dev/null \
	  || apt_install "python$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" \
	  || { echo "$$python cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv"; exit 1; }; \
	echo "making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)

icarus:
	@$(APT_INSTALL); \
	command -v iverilog > /dev/null || apt_install iverilog || \
	  echo "Icarus Verilog is missing, so RTL tests will skip; to get it: apt install iverilog (or brew install icarus-verilog)"
