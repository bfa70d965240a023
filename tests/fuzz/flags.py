"""Command lines: flags of ours with odd values, left out, doubled, misspelt."""

from collections.abc import Callable
from random import Random

from tests.fuzz.values import word

Alter = Callable[[list[str], Random], list[str]]


def _words(text: str) -> list[str]:
    return text.split()


TRAIN = _words("""
--seed_everything --trainer.max_epochs --trainer.max_steps --trainer.devices --trainer.num_nodes
--trainer.precision --trainer.strategy --trainer.accelerator --trainer.accumulate_grad_batches
--trainer.val_check_interval --trainer.check_val_every_n_epoch --trainer.gradient_clip_val
--trainer.limit_train_batches --trainer.limit_val_batches --trainer.limit_test_batches
--trainer.fast_dev_run --trainer.overfit_batches --trainer.log_every_n_steps --trainer.max_time
--trainer.min_epochs --trainer.callbacks --trainer.logger --trainer.default_root_dir
--trainer.num_sanity_val_steps --trainer.deterministic --trainer.profiler --trainer.plugins
--trainer.detect_anomaly --trainer.enable_checkpointing --trainer.sync_batchnorm --model
--model.network --model.network.hidden --model.network.num_classes --model.network.in_features
--model.network.layers --model.network.activation --model.optimizer --model.optimizer.lr
--model.scheduler --model.loss --model.transform --model.init_args.transform.bits
--model.temperature --data --data.dataset --data.batch_size --data.root --data.seed
--data.validation --data.augmentation --data.workers --data.num_workers --data.crops
--data.init_args --evaluation --evaluation.suite --evaluation.limit --evaluation.block
--evaluation.seed --evaluation.views --evaluation.attacks --evaluation.attacks.fgsm
--evaluation.attacks.fgsm.init_args.eps --evaluation.attacks.pgd.init_args.steps
--evaluation.threat_model --evaluation.threat_model.eps --evaluation.threat_model.norm
--evaluation.targets --evaluation.split --evaluation.every_n_epochs --evaluation.records
--evaluation.source --evaluation.threat_models --run.name --run.id --run.root --run.project
--run.group --run.tags --run.resume --ckpt_path --config --print_config
""")
EVALUATE = _words("""
--suite --table --view --limit --devices --transfer-from --figures --grid --images --lipschitz
--draw --robustness --certify --output --attacks --model.temperature --model.transform --model.loss
--model.KEY --model.network --report --trust --loose
""")
SWEEP = _words(
    "--slots --workers --count --root --max-failures --retry --storage --pareto --sampler --seed"
    " --trust --trust-command -- --help"
)
REPORT = _words("--report -o --output --tables --watch --port --strict --loose --help")
RUNS = _words("""
runs runs/standard runs/standard/a runs/standard/a/checkpoints/last.ckpt runs/none runs/squeezed/a
runs/toy tern.npz .
""")
GOOD = {
    "--view": [["adaptive"], ["published"], ["deployed", "adaptive"]],
    "--draw": [
        ["features"],
        ["progress"],
        ["confidence"],
        ["recalled"],
        ["transformed", "progress"],
    ],
    "--figures": [[]],
    "--lipschitz": [[]],
    "--robustness": [[]],
    "--grid": [["fgsm"], ["pgd"], ["none"]],
    "--certify": [["0.1"], ["0"], ["nan"]],
    "--images": [["2"]],
    "--limit": [["1"], ["5"], ["1000000"]],
    "--table": [["tables/table.yaml"], ["tables/measured.yaml"]],
    "--suite": [["suite.yaml"]],
    "--attacks": [["fgsm"], ["*"], ["none"], ["[a]"]],
    "--transfer-from": [["runs/squeezed/a"], ["runs/standard/a"]],
    "--output": [["tables.md"], ["none/out.md"], ["runs"], ["elsewhere.txt/x"]],
    "-o": [["old.html"], ["none/out.html"], ["runs"]],
    "--model.temperature": [["=2"], ["=null"]],
    "--run.resume": [["=auto"]],
    "--ckpt_path": [["=runs/standard/a/checkpoints/last.ckpt"]],
    "--tables": [["tables"], ["none"], ["suite.yaml"]],
    "--slots": [["cpu"], ["gpu:0"]],
    "--workers": [["2"]],
    "--count": [["1"]],
    "--watch": [["--port=-1"], ["--port=70000"]],
}


def mutators(names: list[str], joined: bool) -> dict[str, Alter]:
    """Changes of a command line whose flags are these; ``joined`` ones are ``--flag=value``."""

    def add(args: list[str], random: Random) -> list[str]:
        name, value = random.choice(names), word(random)
        return [*args, f"{name}={value}"] if joined else [*args, name, value]

    def combine(args: list[str], random: Random) -> list[str]:
        for name in random.sample([n for n in names if n in GOOD], random.choice([1, 2, 3])):
            values = random.choice(GOOD[name])
            args = (
                [*args, name + values[0]]
                if values[:1] and values[0][0] == "="
                else [*args, name, *values]
            )
        return args

    return {"add": add, "combine": combine, "bare": _bare(names), **_ANY}


def _bare(names: list[str]) -> Alter:
    return lambda args, random: [*args, random.choice(names)]


def _drop(args: list[str], random: Random) -> list[str]:
    i = random.randrange(len(args) + 1)
    return [*args[:i], *args[i + 1 :]]


def _twice(args: list[str], random: Random) -> list[str]:
    return [*args, random.choice(args or ["a"])]


def _spell(args: list[str], random: Random) -> list[str]:
    i = random.randrange(len(args) or 1)
    text = (args or ["a"])[i]
    j = random.randrange(len(text) + 1)
    changed = random.choice(
        [text[:j] + text[j + 1 :], text[:j] + random.choice("=-. /éx[*") + text[j:]]
    )
    return [*args[:i], changed, *args[i + 1 :]]


def _value(args: list[str], random: Random) -> list[str]:
    i = random.randrange(len(args) or 1)
    head, equals, _ = (args or ["a"])[i].partition("=")
    return [*args[:i], head + equals + word(random) if equals else word(random), *args[i + 1 :]]


def _run(args: list[str], random: Random) -> list[str]:
    return [random.choice(RUNS), *args]


_ANY = {"drop": _drop, "twice": _twice, "spell": _spell, "value": _value, "run": _run}
