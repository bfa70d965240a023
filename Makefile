# `make demo` and `make test` need Python >= 3.11, git and make; they set up everything else in .venv.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

.PHONY: demo test lint lock mnist mnist-tables bench

# A standard and a squeezed net on the embedded digits, attacked through both views and compared.
DEMO := --data configs/data/digits.yaml --run.root runs/demo --run.id digits \
	--trainer.max_epochs 20 --trainer.devices 1 --evaluation.limit 200
demo: export WANDB_MODE = offline
demo: .venv/ready
	rm -rf runs/demo
	$(BIN)/python train.py fit --config configs/standard.yaml $(DEMO)
	$(BIN)/python train.py fit --config configs/squeezed.yaml $(DEMO)
	$(BIN)/python evaluate.py runs/demo/standard/digits runs/demo/squeezed/digits \
		--suite configs/suites/quick.yaml --limit 200
	@echo "Files of the runs: runs/demo/{standard,squeezed}/digits"

test: .venv/ready
	$(BIN)/pytest -q

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The four nets of Tuna et al. 2022 on MNIST, 20 epochs each (distillation 40); an hour on 2 cores,
# a third of that with PRECISION=bf16-mixed. Goes on from the last epoch where it was interrupted.
PRECISION ?= 32-true
MNIST_NETS := standard distillation squeezed mnist_sigmoid
mnist: $(MNIST_NETS:%=runs/mnist/%/seed0/done)
runs/mnist/mnist_sigmoid/seed0/done: CONFIG = configs/papers/tuna2022/mnist_sigmoid.yaml
runs/mnist/%/seed0/done: CONFIG = configs/$*.yaml
runs/mnist/%/seed0/done: | .venv/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit --config $(CONFIG) --run.root runs/mnist --run.name $* --run.id seed0 \
		--trainer.precision $(PRECISION) $$(test -f $$last && echo --ckpt_path $$last)
	touch $@

# Tables I and II from those nets; docs/results.md holds what they print.
mnist-tables: mnist
	for table in 1 2; do $(BIN)/python evaluate.py $(MNIST_NETS:%=runs/mnist/%/seed0) --limit 2000 \
		--table configs/tables/tuna2022_table$$table.yaml --output runs/mnist/table$$table.md; done

bench: .venv/ready
	$(BIN)/python benchmarks/training.py
	-$(BIN)/python benchmarks/attacks.py

.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

# Pinned versions for every platform, without an index address in the file.
lock:
	$(UV) pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.txt
