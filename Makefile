# `make demo` and `make test` need Python >= 3.11, git and make; they set up everything else in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

.PHONY: demo test test-slow wheel test-cpus test-pythons test-lowest test-newest smoke-lowest \
	smoke-newest controls fuzz lint prose docs serve-docs lock bench

# A standard and a squeezed network on embedded digits, attacked through both views and compared.
DEMO := --data configs/data/digits.yaml --run.root runs/demo --run.id digits \
	--trainer.max_epochs 20 --trainer.devices 1 --evaluation.limit 200
demo: export WANDB_MODE = offline
demo: $(VENV)/ready
	rm -rf runs/demo
	$(BIN)/python train.py fit --config configs/standard.yaml $(DEMO)
	$(BIN)/python train.py fit --config configs/squeezed.yaml $(DEMO)
	$(BIN)/python evaluate.py runs/demo/standard/digits runs/demo/squeezed/digits \
		--suite configs/suites/quick.yaml --limit 200
	@echo "Files of the runs: runs/demo/{standard,squeezed}/digits"

# A test is one process with one thread of torch. On two cores a third one fills the time in which
# a test waits for others.
WORKERS ?= 3
test: export OMP_NUM_THREADS = 1
# Without byte code each process that a test starts compiles all of `robust`.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/ready
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile

# What `make test` leaves out: the same properties with other values, and what needs minutes.
test-slow: export OMP_NUM_THREADS = 1
test-slow: $(VENV)/ready
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m slow

# The tests of numbers once more under each setting of CPUS: other instruction sets and threads, sums
# that are rounded as on another CPU (tests/support/rounding.py), files in the opposite order from
# another seed.
NUMERIC := $(addprefix tests/,attacks defenses evaluation figures measures networks results \
	transforms test_losses.py test_threat.py test_random_streams.py)
CPUS ?= default avx2 avx512 onednn-sse41 onednn-avx2 oldest threads rounding reversed
cpu_default = ATEN_CPU_CAPABILITY=default
cpu_avx2 = ATEN_CPU_CAPABILITY=avx2
cpu_avx512 = ATEN_CPU_CAPABILITY=avx512
cpu_onednn-sse41 = ONEDNN_MAX_CPU_ISA=SSE41
cpu_onednn-avx2 = ONEDNN_MAX_CPU_ISA=AVX2
cpu_oldest = $(cpu_default) $(cpu_onednn-sse41) MKL_CBWR=COMPATIBLE
cpu_threads = OMP_NUM_THREADS=2
cpu_rounding = ROBUST_TEST_ROUNDING=1
cpu_reversed = ROBUST_TEST_SEED=1
files_reversed = --no-loadscope-reorder $$(find $(NUMERIC) -name 'test_*.py' | sort -r)
test-cpus: $(CPUS:%=test-cpu-%)
test-cpu-%: $(VENV)/ready
	@isa=$(filter avx2 avx512,$*); if grep -qs "$${isa:-.}" /proc/cpuinfo; then set -x; \
		env OMP_NUM_THREADS=1 $(cpu_$*) $(BIN)/pytest -q -n $(WORKERS) --dist loadfile \
			$(or $(files_$*),$(NUMERIC)); \
	else echo "test-cpus: $* is left out, which this CPU does not have"; fi

# The default suite under each Python that PATH or pyenv has, in an environment of its own.
PYTHONS ?= 3.11 3.12 3.13
PYENV_ROOT ?= $(HOME)/.pyenv
test-pythons: $(PYTHONS:%=test-python-%)
test-python-%:
	@for python in python$* $(PYENV_ROOT)/versions/$*.*/bin/python; do \
		if $$python -c '' 2>/dev/null; then \
			exec $(MAKE) test VENV=.venv-$* PYTHON=$$python; \
		fi; \
	done; echo "test-pythons: $* is left out, which was not found on PATH nor in $(PYENV_ROOT)"

# The default suite on the oldest versions that pyproject.toml allows, and on the newest that there
# are; with `smoke-`, a training and an evaluation.
test-lowest test-newest: export OMP_NUM_THREADS = 1
test-lowest test-newest: test-%: .venv-%/ready
	.venv-$*/bin/pytest -q -n $(WORKERS) --dist loadfile
smoke-lowest smoke-newest: export WANDB_MODE = offline
smoke-lowest smoke-newest: smoke-%: .venv-%/ready
	rm -rf runs/$*
	.venv-$*/bin/python train.py fit --config configs/standard.yaml --data configs/data/digits.yaml \
		--run.root runs/$* --run.id digits --trainer.max_epochs 1 --trainer.devices 1 \
		--evaluation.limit 50
	.venv-$*/bin/python evaluate.py runs/$*/standard/digits --suite configs/suites/quick.yaml \
		--limit 50

# Verdicts on networks that hide their gradient, and on some that do not; ends with 1 if one is wrong.
controls: $(VENV)/ready
	$(BIN)/python benchmarks/controls.py --suite quick strong

# N damaged inputs of every kind (tests/fuzz), each of which may end in an error of one line; other
# ones for another SEED.
N ?= 2000
SEED ?= 0
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --n $(N) --seed $(SEED)

# The wheel is built, and used in an empty folder.
wheel: $(VENV)/ready
	$(BIN)/pytest -q -m outside tests/test_wheel.py

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.prose

# Markdown: columns, words in a sentence, words with a better one, links (tests/support/prose.py).
prose: $(VENV)/ready
	$(BIN)/python -m tests.support.prose

# The site, in build/site: ends with an error at a warning or a dead link. `make serve-docs` shows it.
docs: $(VENV)/docs-ready
	$(BIN)/python -m docsite

serve-docs: docs
	$(BIN)/python -m http.server --directory build/site --bind 127.0.0.1 8000

$(VENV)/docs-ready: $(VENV)/ready
	$(UV) pip install --quiet --python $(BIN)/python --extra docs -r pyproject.toml
	touch $@

# The attacks' peers: uv pip install -e '.[bench]'.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/training.py
	-$(BIN)/python benchmarks/steps.py
	-$(BIN)/python benchmarks/attacks.py
	-$(BIN)/python benchmarks/attacks.py --data cifar10
	-$(BIN)/python benchmarks/memory.py

$(VENV)/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

# Some releases cannot be had from every index, such as one that was withdrawn: NEWEST excludes them.
NEWEST ?= torch!=2.13.0
.venv-lowest/ready: RESOLUTION = lowest-direct
.venv-newest/ready: RESOLUTION = highest
.venv-lowest/ready .venv-newest/ready: .venv-%/ready: pyproject.toml | $(VENV)/ready
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	$(UV) pip install --quiet --python .venv-$*/bin/python --compile-bytecode \
		--resolution $(RESOLUTION) --group dev -r pyproject.toml $(if $(findstring newest,$*),'$(NEWEST)')
	$(UV) pip install --quiet --python .venv-$*/bin/python --no-deps -e .
	touch $@

# Pinned versions for every platform, without an index address in the file.
lock:
	$(UV) pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.txt
