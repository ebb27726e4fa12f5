# Two commands for a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
# `make test LOCK=newest` takes the newest versions that the package allows.
LOCK ?= pinned
VENV ?= $(if $(filter newest,$(LOCK)),.venv-newest,.venv)
BIN := $(VENV)/bin
WORKDIR ?= runs/quickstart
STAGES := $(WORKDIR) $(WORKDIR)-reward $(WORKDIR)-dpo $(WORKDIR)-cringe $(WORKDIR)-grpo

.PHONY: help quickstart test test-slow test-peers check style types suite check-plans check-plans-gpu lock clean
help:
	@echo 'make quickstart   fine-tune a tiny model, then a reward model, DPO, Pairwise Cringe, GRPO'
	@echo 'make test         lint, types and the test suite'
	@echo 'make test-slow    kill tests, long runs, mutation check, fuzzing'
	@echo 'make test-peers   agreement with transformers and TRL'
	@echo 'make check-plans  compile the large configs for TPUs that are not here (two hours)'
	@echo 'make check-plans-gpu   the same for GPUs (5 GB to install)'
	@echo 'make lock         choose versions anew and write the lock files'

# Rebuilt only when the pinned versions or the package metadata change. Bytecode is
# made of what is imported, not (--no-compile) of all: half a minute of a core.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) \
	  else f"ramjax needs Python 3.11 or later; {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(LOCK),newest)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy=eager -e '.[test]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

quickstart: $(VENV)/.ready
	$(BIN)/ramjax train --config=configs/sft_quickstart.py --workdir=$(WORKDIR)
	$(BIN)/ramjax train --config=configs/reward_quickstart.py --workdir=$(WORKDIR)-reward --config.init.from_run=$(WORKDIR)
	$(BIN)/ramjax train --config=configs/dpo_quickstart.py --workdir=$(WORKDIR)-dpo --config.init.from_run=$(WORKDIR)
	$(BIN)/ramjax train --config=configs/pairwise_cringe_quickstart.py --workdir=$(WORKDIR)-cringe --config.init.from_run=$(WORKDIR)
	$(BIN)/ramjax train --config=configs/grpo_quickstart.py --workdir=$(WORKDIR)-grpo --config.init.from_run=$(WORKDIR)
	@for run in $(STAGES); do $(BIN)/ramjax report $$run; done
	@$(BIN)/ramjax results $(STAGES)

check: style types

style: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/pyright --pythonpath $(BIN)/python

# Three on two cores: while one waits for a disk or a process, the others compute. It
# took 11 min 47 s, and with two 12 min 32 s.
suite: $(VENV)/.ready
	$(BIN)/python -m pytest -m 'not slow and not peers' -n 3 --dist worksteal

# Pyright takes a minute of one core: beside the tests, not before them.
test: style
	@$(MAKE) --no-print-directory -j 2 types suite

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal
	$(BIN)/python -m ramjax.tools.fuzz

# torch first and by itself: its index of builds differs from machine to machine.
$(VENV)/.peers: $(VENV)/.ready requirements-peers.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements-peers.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.lock
	@touch $@

# A peer that cannot be imported must fail here, not be skipped.
test-peers: $(VENV)/.peers
	$(BIN)/python -c 'import lm_eval, peft, torch, transformers, trl'
	$(BIN)/python -m pytest -m peers -n 2 --dist worksteal

# An environment of its own: with libtpu in it JAX looks for TPUs first.
$(VENV)-plan/.ready: requirements.lock requirements-plan.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)-plan
	$(VENV)-plan/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(VENV)-plan/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-plan.lock
	$(VENV)-plan/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)-plan-gpu/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)-plan-gpu
	$(VENV)-plan-gpu/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(VENV)-plan-gpu/bin/python -m pip install --quiet --disable-pip-version-check \
	  "jax[cuda12]==$$($(VENV)-plan-gpu/bin/python -c 'import jax; print(jax.__version__)')"
	$(VENV)-plan-gpu/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check-plans: $(VENV)-plan/.ready
	$(VENV)-plan/bin/python -m pytest -q -k 'not large_run' tests/models/test_attention_tpu.py tests/tools/test_plan_tpu.py
	$(VENV)-plan/bin/python -m ramjax.tools.check_plans $(if $(ONLY),--only='$(ONLY)')

check-plans-gpu: $(VENV)-plan-gpu/.ready
	$(VENV)-plan-gpu/bin/python -m pytest -q tests/models/test_attention_gpu.py tests/tools/test_plan_gpu.py
	$(VENV)-plan-gpu/bin/python -m ramjax.tools.check_plans $(if $(ONLY),--only='$(ONLY)')

lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile --universal --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --extra test pyproject.toml -o requirements.lock
	$(VENV)-lock/bin/uv pip compile --universal --fork-strategy fewest --python-version 3.11 \
	  --no-header --no-annotate --extra test --extra peers -c requirements.lock pyproject.toml \
	  | grep -vE '^(nvidia|cuda|triton)' > requirements-peers.lock  # torch brings its own, if any
	$(VENV)-lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --extra plan -c requirements.lock pyproject.toml \
	  | awk '/^[a-z]/{p=/^libtpu/} p' > requirements-plan.lock

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-plan $(VENV)-plan-gpu build *.egg-info
