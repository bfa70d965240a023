"""What leaderboards take of a card: RobustBench's model info, and Hugging Face's results."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from robust.io.yaml_writing import dump

_Card = Mapping[str, Any]


def robustbench(card: _Card) -> dict[str, str]:
    """Return a file of RobustBench's ``model_info`` for each run and evaluation, by its name.

    What no record says is null: the maintainers ask for it.
    """
    return {
        f"robustbench-{_stem(run, each)}.json": json.dumps(_model_info(run, each), indent=1) + "\n"
        for run, each in _evaluations(card)
    }


def huggingface(card: _Card) -> dict[str, str]:
    """Return a file for ``.eval_results/`` for each run and evaluation, by its name."""
    return {
        f"eval_results-{_stem(run, each)}.yaml": _eval_results(card, run, each)
        for run, each in _evaluations(card)
    }


EXPORTS = {"robustbench": robustbench, "huggingface": huggingface}


def _evaluations(card: _Card) -> Iterator[tuple[_Card, _Card]]:
    for run in card["runs"]:
        for each in run["evaluations"]:
            yield run, each


def _stem(run: _Card, each: _Card) -> str:
    record = each["record"].rpartition("/")[2].removesuffix(".csv")
    name = "".join(c if c.isalnum() else "-" for c in run["name"]).strip("-")
    return f"{name}-{record}"


def _model_info(run: _Card, each: _Card) -> dict[str, Any]:
    results, reported = each["results"], _robust(each)
    classes = {attack["class"] for attack in each["attacks"]}
    return {
        "link": None,
        "name": run["name"],
        "authors": _stated(run["subject"]["trained_by"]),
        "additional_data": None,
        "number_forward_passes": 1,
        "dataset": each["data"]["name"],
        "venue": None,
        "architecture": run["subject"]["architecture"],
        "eps": [_budget(model) for model in each["threat_models"]],
        "clean_acc": _percent(results["clean"]),
        "reported": _percent(results[reported]),
        "autoattack_acc": _percent(results[reported]) if "AutoAttack" in classes else None,
        "unreliable": any(
            verdict["word"] in ("masked", "overstated", "suspect")
            for verdict in each["evidence"]["verdict"].values()
        ),
        "footnote": f"{reported} on {each['data']['n']} images, suite {each['suite']}, record "
        f"{each['record']}.",
    }


def _eval_results(card: _Card, run: _Card, each: _Card) -> str:
    found = [
        {
            "dataset": {"id": each["data"]["name"], "task_id": name},
            "value": round(100 * each["results"][name]["value"], 2),
            "date": card["made"]["on"],
            "source": {"name": each["record"]},
            "notes": f"95 % interval {100 * each['results'][name]['low']:.2f} to "
            f"{100 * each['results'][name]['high']:.2f}, n = {each['results'][name]['n']}, suite "
            f"{each['suite']}, {', '.join(map(_budget, each['threat_models']))}.",
        }
        for name in ("clean", _robust(each))
    ]
    return dump(found)


def _robust(each: _Card) -> str:
    return "adaptive.robust" if "adaptive.robust" in each["results"] else "robust"


def _budget(model: Mapping[str, Any]) -> str:
    return str(model["name"])


def _percent(content: Mapping[str, Any]) -> str:
    return f"{100 * content['value']:.2f}"


def _stated(text: str) -> str | None:
    return None if text == "not stated" else text
