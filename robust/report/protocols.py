"""Records are grouped by protocol, and each run under a protocol has its rates."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from robust.results.evidence.tables import worst_score
from robust.results.metrics import Rate, clean_accuracy, worst_robust_accuracy
from robust.results.records import Evaluation
from robust.results.rows import Column, Rows
from robust.results.run_folder import RunFiles
from robust.results.verdict import Verdict, verdict

_OF_THE_RUN = ("model_sha256", "adaptive_sha256", "source_sha256")
"""Keys of a header that identify the attacked network."""
_LONGEST = 500
"""Characters of a setting that are shown."""


@dataclass(frozen=True)
class Entry:
    """An entry is one run under one protocol.

    Args:
        label: Name of the run, with the fingerprint of the records if there are several.
        run: The run.
        evaluation: Its records.
    """

    label: str
    run: RunFiles
    evaluation: Evaluation

    @cached_property
    def n(self) -> int:
        """The number of test samples."""
        return self.clean.n

    @cached_property
    def clean(self) -> Rate:
        """The accuracy without an attack, on the same samples."""
        return clean_accuracy(self._first(self.evaluation.views[0]))

    @cached_property
    def robust(self) -> dict[str, Rate]:
        """The share of all samples that are robust under every attack, by view."""
        return {v: worst_robust_accuracy(self.evaluation, v) for v in self.evaluation.views}

    @cached_property
    def worst(self) -> Rate:
        """The share of all samples that are robust under every attack through every view.

        An adversarial image fools the deployed defense, whatever view it was found through.
        """
        first = self._first(self.evaluation.views[0])
        wrong = first["index"][first["clean_pred"] != first["label"]]
        lost = np.concatenate([wrong, *(self._misclassified(*key) for key in self.keys)])
        return Rate(self.n - len(np.unique(lost)), self.n)

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the rates."""
        return verdict(self.evaluation)

    @cached_property
    def unit_test(self) -> str:
        """The score of the attack unit test through the adaptive view; empty if nobody asked."""
        if self.evaluation.evidence is None:
            return ""
        score = worst_score(self.evaluation, "adaptive")
        if score is None:
            return "unit test not measured"
        low, high = (f"{100 * bound:.1f}" for bound in score.found.interval)
        return f"unit test {100 * score.found.value:.1f} ({low} to {high}), n = {score.found.n}"

    @cached_property
    def passes(self) -> float:
        """The forward passes that all attacks took for a test image, through the costliest view."""
        return self._cost("forwards")

    @cached_property
    def seconds(self) -> float:
        """The seconds that all attacks took for a test image, through the costliest view."""
        return self._cost("seconds")

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The views and attacks that have rows."""
        pairs = [(v, a) for v in self.evaluation.views for a in self.evaluation.header.attacks]
        return [pair for pair in pairs if self.evaluation.select(*pair)]

    def overlap(self, view: str) -> list[list[int]]:
        """Return how many samples are misclassified under each two attacks; one on the diagonal."""
        found = [self._misclassified(view, attack) for attack in self.evaluation.header.attacks]
        images = np.unique(np.concatenate(found))
        under = np.array([np.isin(images, each) for each in found]).astype(np.int64)
        counts: list[list[int]] = (under @ under.T).tolist()
        return counts

    def _misclassified(self, view: str, attack: str) -> Column:
        """Return indices of the samples that are misclassified under an attack through a view."""
        info = self.evaluation.header.attacks[attack]
        rows = self.evaluation.select(view, attack)
        index: Column = rows["index"][info.misclassified_within_eps(rows)]
        return index

    def _first(self, view: str) -> Rows:
        return next(self.evaluation.select(*key) for key in self.keys if key[0] == view)

    def _cost(self, column: str) -> float:
        costs: defaultdict[str, float] = defaultdict(float)
        for view, attack in self.keys:
            costs[view] += self.evaluation.select(view, attack)[column].sum()
        return max(costs.values()) / self.n


@dataclass(frozen=True)
class Protocol:
    """A protocol is the same attacks with the same settings on the same data.

    Only runs under one protocol can be compared.

    Args:
        key: Unique on the page.
        suite: Name of the suite, with a number if other protocols have the same name.
        data: Name of the data set.
        entries: The runs.
    """

    key: str
    suite: str
    data: str
    entries: Sequence[Entry]

    @property
    def title(self) -> str:
        """The suite and the data set, as a heading."""
        return f"{self.suite}, {self.data}"

    @property
    def weight(self) -> int:
        """The number of images that were attacked through the adaptive view, over all runs."""
        return sum(entry.n for entry in self.entries if "adaptive" in entry.robust)

    @property
    def attacks(self) -> list[str]:
        """The names of the attacks."""
        return list(self.entries[0].evaluation.header.attacks)

    @property
    def views(self) -> list[str]:
        """The views that any of the runs was attacked through, deployed first."""
        order = ["deployed", "published", "transfer", "adaptive"]
        return [v for v in order if any(v in e.evaluation.views for e in self.entries)]

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """The records by the labels of their runs."""
        return {entry.label: entry.evaluation for entry in self.entries}

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts by the labels of their runs."""
        return {entry.label: entry.verdict for entry in self.entries}


def protocols(runs: Sequence[RunFiles]) -> list[Protocol]:
    """Return the protocols of all records, first those with most images attacked adaptively."""
    groups: dict[str, list[tuple[RunFiles, Evaluation]]] = {}
    for run in runs:
        for evaluation in run.evaluations.values():
            groups.setdefault(_protocol_key(evaluation), []).append((run, evaluation))
    suites = [evaluation.header.suite for _, evaluation in (group[0] for group in groups.values())]
    found = [
        Protocol(key, suite, group[0][1].header.data, _entries(group))
        for (key, group), suite in zip(groups.items(), suites, strict=True)
    ]
    found.sort(key=lambda protocol: (-protocol.weight, protocol.suite, protocol.key))
    counts = Counter((protocol.suite, protocol.data) for protocol in found)
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for i, protocol in enumerate(found):
        name = protocol.suite, protocol.data
        seen[name] += 1
        suite = f"{protocol.suite} ({seen[name]})" if counts[name] > 1 else protocol.suite
        numbered.append(replace(protocol, key=f"p{i}", suite=suite))
    return numbered


def _protocol_key(evaluation: Evaluation) -> str:
    plain = evaluation.header.plain()
    return json.dumps({k: v for k, v in plain.items() if k not in _OF_THE_RUN}, sort_keys=True)


def _entries(group: Sequence[tuple[RunFiles, Evaluation]]) -> list[Entry]:
    counts = Counter(run.name for run, _ in group)
    entries = []
    for run, evaluation in group:
        several = counts[run.name] > 1
        label = f"{run.name} #{evaluation.header.fingerprint[:4]}" if several else run.name
        entries.append(Entry(label, run, evaluation))
    return entries


def differing(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return dotted keys in which some configs differ, with the value of each run that has it.

    Args:
        configs: Configs by the names of their runs; empty ones do not count.
    """
    flat = {name: _flat(config) for name, config in configs.items() if config}
    keys = sorted({key for values in flat.values() for key in values})
    return {
        key: {name: values[key] for name, values in flat.items() if key in values}
        for key in keys
        if len({values.get(key) for values in flat.values()}) > 1
    }


def _flat(value: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            text = item if isinstance(item, str) else json.dumps(item, default=str)
            flat[f"{prefix}{key}"] = text[:_LONGEST]
    return flat
