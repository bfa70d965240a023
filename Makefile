# `make demo` and `make test` need Python >= 3.11, git and make; they set up everything else in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

.PHONY: demo test wheel test-cpus test-pythons test-lowest smoke-lowest fuzz lint prose lock mnist \
	mnist-tables saito saito-tables zantedeschi zantedeschi-tables wang wang-tables paranjape toy bench

# A standard and a squeezed net on the embedded digits, attacked through both views and compared.
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

# The tests of numbers once more under each setting of CPUS: other instruction sets and threads, sums
# that are rounded as on another CPU (tests/support/rounding.py), files in the opposite order.
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

# The default suite on the oldest versions that pyproject.toml allows; a training and an evaluation.
LOWEST := .venv-lowest/bin
test-lowest: export OMP_NUM_THREADS = 1
test-lowest: .venv-lowest/ready
	$(LOWEST)/pytest -q -n $(WORKERS) --dist loadfile
smoke-lowest: export WANDB_MODE = offline
smoke-lowest: .venv-lowest/ready
	rm -rf runs/lowest
	$(LOWEST)/python train.py fit --config configs/standard.yaml --data configs/data/digits.yaml \
		--run.root runs/lowest --run.id digits --trainer.max_epochs 1 --trainer.devices 1 \
		--evaluation.limit 50
	$(LOWEST)/python evaluate.py runs/lowest/standard/digits --suite configs/suites/quick.yaml \
		--limit 50

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

# The four nets of Tuna et al. 2022 on MNIST, 20 epochs each (distillation 40); an hour on 2 cores,
# a third of that with PRECISION=bf16-mixed where the CPU has bfloat16 of its own (AVX512-BF16, AMX;
# up to ten times as long where not). Goes on from the last epoch where it was interrupted.
PRECISION ?= 32-true
MNIST_NETS := standard distillation squeezed mnist_sigmoid
mnist: $(MNIST_NETS:%=runs/mnist/%/seed0/done)
runs/mnist/mnist_sigmoid/seed0/done: CONFIG = papers/tuna2022/configs/mnist_sigmoid.yaml
runs/mnist/%/seed0/done: CONFIG = configs/$*.yaml
runs/mnist/%/seed0/done: | $(VENV)/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit --config $(CONFIG) --run.root runs/mnist --run.name $* --run.id seed0 \
		--trainer.precision $(PRECISION) $$(test -f $$last && echo --ckpt_path $$last)
	touch $@

# Tables I and II from those nets; docs/results.md holds what they print.
mnist-tables: mnist
	for table in 1 2; do $(BIN)/python evaluate.py $(MNIST_NETS:%=runs/mnist/%/seed0) --limit 1000 \
		--table configs/tables/tuna2022_table$$table.yaml --output runs/mnist/table$$table.md; done

# The three nets of Saito and Roy 2018 on DATA, 10 epochs each of a smaller network than theirs
# (--loose); then Tables 3 to 7, of which the slow attacks on few images (docs/results.md says which).
DATA ?= mnist
SAITO := runs/saito/$(DATA)
SAITO_NETS := standard softmax_mse codewords
saito: $(SAITO_NETS:%=$(SAITO)/%/seed0/done)
$(SAITO)/%/seed0/done: | $(VENV)/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit --config configs/$*.yaml --data configs/data/$(DATA).yaml \
		--run.root $(SAITO) --run.name $* --run.id seed0 --trainer.max_epochs 10 \
		--trainer.precision $(PRECISION) $$(test -f $$last && echo --ckpt_path $$last)
	touch $@

SAITO_RUNS = $(SAITO_NETS:%=$(SAITO)/%/seed0)
SAITO_TABLE = --model.published=as_released --loose --table configs/tables/saito2018_table
saito-tables: saito
	$(BIN)/python evaluate.py $(SAITO_RUNS) $(SAITO_TABLE)3_$(DATA).yaml --limit 1000 \
		--attacks 'mim_*' 'bim_*' 'fgsm_*' madry_0.1 deepfool_10 --output $(SAITO)/table3.md
	$(BIN)/python evaluate.py $(SAITO_RUNS) $(SAITO_TABLE)4_$(DATA).yaml --limit 10000 \
		--attacks fgsm --view deployed --output $(SAITO)/table4.md
	$(BIN)/python evaluate.py $(SAITO_RUNS) $(SAITO_TABLE)5_$(DATA).yaml --limit 200 \
		--attacks 'fgsm_*' 'bim_*' 'mim_*' madry_0.1 --output $(SAITO)/table5.md
	$(BIN)/python evaluate.py $(wordlist 2,3,$(SAITO_RUNS)) $(SAITO_TABLE)6_$(DATA).yaml --limit 50 \
		--transfer-from $(firstword $(SAITO_RUNS)) --output $(SAITO)/table6.md
	$(BIN)/python evaluate.py $(SAITO)/codewords/seed0 $(SAITO_TABLE)7_$(DATA).yaml --limit 80 \
		--view published --attacks '*_1' --output $(SAITO)/table7.md
	$(BIN)/python evaluate.py $(SAITO_RUNS) --lipschitz --output $(SAITO)/lipschitz.md

# The nets of Zantedeschi et al. 2017 on MNIST, EPOCHS each; an epoch with noisy copies is 11 plain
# ones. The static adversarial images are those of the undefended CNN.
EPOCHS ?= 3
ZANTEDESCHI := runs/zantedeschi
ZANTEDESCHI_NETS := cnn resnet brelu resnet_brelu feature_squeezing label_smoothing fgsm_static \
	vat gda brelu_gda
ZANTEDESCHI_SOURCE := $(ZANTEDESCHI)/cnn/seed0
STATIC = --model.init_args.source=$(ZANTEDESCHI_SOURCE)/checkpoints/best.ckpt
zantedeschi: $(ZANTEDESCHI_NETS:%=$(ZANTEDESCHI)/%/seed0/done)
$(ZANTEDESCHI)/fgsm_static/seed0/done $(ZANTEDESCHI)/vat/seed0/done: $(ZANTEDESCHI_SOURCE)/done
$(ZANTEDESCHI)/%/seed0/done: | $(VENV)/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit \
		--config $(firstword $(wildcard configs/$*.yaml papers/zantedeschi2017/configs/$*.yaml)) \
		--run.root $(ZANTEDESCHI) --run.name $* --run.id seed0 --trainer.max_epochs $(EPOCHS) \
		--trainer.precision $(PRECISION) $(if $(filter fgsm_static vat,$*),$(STATIC)) \
		$$(test -f $$last && echo --ckpt_path $$last)
	touch $@

# Tables 1 to 4, FGSM of Figure 4 as the paper's attacker ran it, and what an attacker who knows finds;
# JSMA and C&W on fewer images. The paper's nets have 20 epochs, hence --loose. Tables 2 and 3 are of
# all test images with MEASURED=10000, as published.
MEASURED ?= 1000
zantedeschi_runs = $(addsuffix /seed0,$(addprefix $(ZANTEDESCHI)/,$(1)))
ZANTEDESCHI_NETS4 = $(filter-out resnet brelu resnet_brelu,$(ZANTEDESCHI_NETS))
ZANTEDESCHI_RUNS = $(call zantedeschi_runs,$(ZANTEDESCHI_NETS4))
ZANTEDESCHI_TABLE = --loose --table configs/tables/zantedeschi2017_table
ZANTEDESCHI_TABLE4 = $(ZANTEDESCHI_RUNS) $(ZANTEDESCHI_TABLE)4.yaml \
	--transfer-from $(call zantedeschi_runs,resnet)
zantedeschi-tables: zantedeschi
	$(BIN)/python evaluate.py $(call zantedeschi_runs,cnn brelu resnet resnet_brelu) \
		$(ZANTEDESCHI_TABLE)1.yaml --limit 1000 --output $(ZANTEDESCHI)/table1.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_RUNS) $(ZANTEDESCHI_TABLE)2.yaml --limit $(MEASURED) \
		--output $(ZANTEDESCHI)/table2.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_RUNS) $(ZANTEDESCHI_TABLE)3.yaml --limit $(MEASURED) \
		--output $(ZANTEDESCHI)/table3.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_TABLE4) --limit 1000 \
		--attacks fgsm_0.1 random_fgsm deepfool --output $(ZANTEDESCHI)/table4.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_TABLE4) --limit 100 --attacks jsma cw \
		--output $(ZANTEDESCHI)/table4_slow.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_RUNS) --suite configs/suites/zantedeschi2017_figure4.yaml \
		--attacks fgsm_0.1 fgsm_0.3 fgsm_0.5 --view published --limit 1000 \
		--output $(ZANTEDESCHI)/figure4.md
	$(BIN)/python evaluate.py $(ZANTEDESCHI_RUNS) --suite configs/suites/zantedeschi2017_adaptive.yaml \
		--view adaptive --limit 1000 --output $(ZANTEDESCHI)/adaptive.md

# Nets of Wang et al. 2018, reduced: WANG_DEPTH, WANG_LINEAR and WANG_WNLL epochs through either head on
# CIFAR-10 and on MNIST, where the net is a small one. WANG_NETS may name the others of
# papers/wang2018/configs too, and WANG_ARGS more flags. Then accuracy and attacks of each WNLL net, with WNLL and with
# its linear head; softmax nets of their own: `evaluate.py --table`.
WANG := runs/wang
WANG_NETS ?= wnll_cifar10 wnll
WANG_DEPTH ?= 20
WANG_LINEAR ?= 4
WANG_WNLL ?= 1
WANG_LIMIT ?= 200
WANG_ARGS ?=
WANG_STAGES = linear_epochs=$(WANG_LINEAR) wnll_epochs=$(WANG_WNLL)
WANG_CIFAR10 = --model.network.depth=$(WANG_DEPTH) --model.scheduler=robust.defenses.WangSchedule \
	$(WANG_STAGES:%=--model.scheduler.%)
wang: $(WANG_NETS:%=$(WANG)/%/seed0/done)
$(WANG)/%/seed0/done: | $(VENV)/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit --config $(firstword $(wildcard configs/$*.yaml papers/wang2018/configs/$*.yaml)) \
		--run.root $(WANG) --run.name $* --run.id seed0 --evaluation.attacks null \
		--evaluation.threat_models null $(if $(findstring cifar10,$*),$(WANG_CIFAR10)) \
		$(if $(findstring wnll,$*),$(WANG_STAGES:%=--model.%)) \
		--trainer.max_epochs $$(($(WANG_LINEAR) + $(if $(findstring wnll,$*),$(WANG_WNLL),0))) $(WANG_ARGS) \
		$$(test -f $$last && echo --ckpt_path $$last)
	touch $@

WANG_ATTACKS ?= 'fgsm_*' 'ifgsm_projected_*' cw
WANG_RUN = $(BIN)/python evaluate.py $(WANG)/$(net)/seed0 --limit $(WANG_LIMIT) \
	--suite configs/suites/wang2018.yaml --attacks $(WANG_ATTACKS)
wang-tables: wang
	$(foreach net,$(filter wnll%,$(WANG_NETS)),$(WANG_RUN) --output $(WANG)/$(net).md && \
		$(WANG_RUN) --model.head=linear --view published --output $(WANG)/$(net)_linear.md && ) true

# The nets of Paranjape et al. 2020 on MNIST; then Table 1 in both protocols, three draws of 500
# training images (of TVM, which every query through `deployed` solves anew, one of 20), with BA_SUITE
# for fewer iterations of the boundary attack; what an attacker who knows finds; Figures 2 to 7.
PARANJAPE := runs/paranjape
PARANJAPE_NETS := ibol iboi inoi cdr
PARANJAPE_RUNS = $(PARANJAPE_NETS:%=$(PARANJAPE)/%/seed0)
BA_SUITE ?= configs/suites/paranjape2020_short.yaml
PARANJAPE_TABLE = --table configs/tables/paranjape2020_table1.yaml --suite $(BA_SUITE)
paranjape: $(PARANJAPE_NETS:%=$(PARANJAPE)/%/seed0/done) $(PARANJAPE)/tvm/seed0/done
	$(BIN)/python evaluate.py $(PARANJAPE_RUNS) $(PARANJAPE_TABLE) --output $(PARANJAPE)/table1.md
	$(BIN)/python evaluate.py $(PARANJAPE)/tvm/seed0 $(PARANJAPE_TABLE) --view published
	$(BIN)/python evaluate.py $(PARANJAPE)/tvm/seed0 $(PARANJAPE_TABLE) --limit 20
	$(BIN)/python evaluate.py $(PARANJAPE_RUNS) --view adaptive --limit 50 \
		--suite configs/suites/paranjape2020_adaptive.yaml --output $(PARANJAPE)/adaptive.md
	$(BIN)/python evaluate.py $(wordlist 2,3,$(PARANJAPE_RUNS)) --draw recalled
	for attack in single_pixel boundary gaussian_noise uniform_noise; do \
		$(BIN)/python evaluate.py $(wordlist 1,3,$(PARANJAPE_RUNS)) --suite $(BA_SUITE) --limit 10 \
			--view deployed --attacks $$attack --grid $$attack --images 3; done
$(PARANJAPE)/%/seed0/done: | $(VENV)/ready
	last=$(@D)/checkpoints/last.ckpt; \
	$(BIN)/python train.py fit \
		--config $(firstword $(wildcard papers/paranjape2020/configs/$*.yaml configs/$*.yaml)) \
		--run.root $(PARANJAPE) --run.name $* --run.id seed0 --evaluation.attacks null \
		$$(test -f $$last && echo --ckpt_path $$last)
	touch $@

# Figure 2 of Zantedeschi et al. 2017: nets on points of the plane, with ten noisy or one adversarial
# variant of each point, and how sure they are.
TOY := runs/toy
TOY_NETS := none fgm vat jsma uniform gaussian
NOISY := --data.augmentation=robust.data.GaussianAugmentation --data.augmentation.sigma=0.15 \
	--data.augmentation.clip=true
CRAFTED = --model=robust.defenses.AdversarialTraining --data.batch_size=1 \
	--model.source=$(TOY)/$*/none/seed0/checkpoints/last.ckpt --model.attack
TOY_gaussian := $(NOISY)
TOY_uniform := $(NOISY) --data.augmentation.noise=uniform
TOY_fgm = $(CRAFTED) "{class_path: robust.attacks.PGD, init_args: {eps: 0.15, alpha: 0.15, \
	steps: 1, norm: L2, random_start: false}}"
TOY_vat = $(CRAFTED) \
	"{class_path: robust.defenses.VirtualAdversarialImages, init_args: {eps: 0.15}}"
TOY_jsma = $(CRAFTED) "{class_path: robust.attacks.JSMA, init_args: {theta: 0.05, gamma: 1}}"
toy: $(TOY)/circles/done $(TOY)/moons/done
$(TOY)/%/done: | $(VENV)/ready
	$(foreach net,$(TOY_NETS),$(BIN)/python train.py fit --config configs/toy/$*.yaml \
		--run.root $(TOY)/$* --run.name $(net) --run.id seed0 --evaluation.attacks null \
		$(TOY_$(net)) && ) true
	$(BIN)/python evaluate.py $(addsuffix /seed0,$(addprefix $(TOY)/$*/,$(TOY_NETS))) --draw confidence
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

.venv-lowest/ready: pyproject.toml | $(VENV)/ready
	test -x $(LOWEST)/python || $(PYTHON) -m venv .venv-lowest
	$(UV) pip install --quiet --python $(LOWEST)/python --compile-bytecode \
		--resolution lowest-direct --group dev -r pyproject.toml
	$(UV) pip install --quiet --python $(LOWEST)/python --no-deps -e .
	touch $@

# Pinned versions for every platform, without an index address in the file.
lock:
	$(UV) pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.txt
