"""What the page shows of records: protocols, the runs under each, and their rates."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from robust.results.metrics import Rate, clean_accuracy, worst_robust_accuracy
from robust.results.records import Evaluation
from robust.results.rows import Rows
from robust.results.run_folder import RunFiles
from robust.results.verdict import Verdict, verdict

_OF_THE_RUN = ("model_sha256", "adaptive_sha256", "source_sha256")
"""Keys of a header that say what was attacked, not how."""
_LONGEST = 500
"""Letters of a setting that are shown."""


@dataclass(frozen=True)
class Entry:
    """One run under one protocol.

    Args:
        label: Name of the run; with the fingerprint of the records where it has several.
        run: The run.
        evaluation: Its records.
    """

    label: str
    run: RunFiles
    evaluation: Evaluation

    @cached_property
    def n(self) -> int:
        """Number of test samples."""
        return self.clean.n

    @cached_property
    def clean(self) -> Rate:
        """Accuracy without an attack, on the samples that were attacked."""
        return clean_accuracy(self._first(self.evaluation.views[0]))

    @cached_property
    def robust(self) -> dict[str, Rate]:
        """Share of all samples that are correct under every attack, by view."""
        return {v: worst_robust_accuracy(self.evaluation, v) for v in self.evaluation.views}

    @cached_property
    def worst(self) -> Rate:
        """Share of all samples that are correct under every attack through every view.

        Whatever view an image was found through, it is the deployed defense that it fools.
        """
        lost = set().union(*(self.broken(*key) for key in self.keys))
        first = self._first(self.evaluation.views[0])
        lost |= set(first["index"][first["clean_pred"] != first["label"]].tolist())
        return Rate(self.n - len(lost), self.n)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether to believe the rates."""
        return verdict(self.evaluation)

    @cached_property
    def passes(self) -> float:
        """Forward passes that all attacks took for a test image, through the costliest view."""
        return self._cost("forwards")

    @cached_property
    def seconds(self) -> float:
        """Seconds that all attacks took for a test image, through the costliest view."""
        return self._cost("seconds")

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Views and attacks that there are rows of."""
        pairs = [(v, a) for v in self.evaluation.views for a in self.evaluation.header.attacks]
        return [pair for pair in pairs if self.evaluation.select(*pair)]

    def broken(self, view: str, attack: str) -> set[int]:
        """The samples that an attack turned through a view."""
        info = self.evaluation.header.attacks[attack]
        rows = self.evaluation.select(view, attack)
        return set(rows["index"][info.misclassified_within_eps(rows)].tolist())

    def overlap(self, view: str) -> list[list[int]]:
        """How many samples each two attacks both turned; on the diagonal, how many one turned."""
        sets = [self.broken(view, attack) for attack in self.evaluation.header.attacks]
        return [[len(one & other) for other in sets] for one in sets]

    def _first(self, view: str) -> Rows:
        return next(self.evaluation.select(*key) for key in self.keys if key[0] == view)

    def _cost(self, column: str) -> float:
        costs: defaultdict[str, float] = defaultdict(float)
        for view, attack in self.keys:
            costs[view] += self.evaluation.select(view, attack)[column].sum()
        return max(costs.values()) / self.n


@dataclass(frozen=True)
class Protocol:
    """The same attacks with the same settings on the same data: what can be compared.

    Args:
        key: Unique on the page.
        suite: Name of the suite; with a number where other settings have that name as well.
        data: Name of the data set.
        entries: The runs.
    """

    key: str
    suite: str
    data: str
    entries: Sequence[Entry]

    @property
    def title(self) -> str:
        """The suite and the data set."""
        return f"{self.suite}, {self.data}"

    @property
    def weight(self) -> int:
        """Images that were attacked through the adaptive view, over all runs."""
        return sum(entry.n for entry in self.entries if "adaptive" in entry.robust)

    @property
    def attacks(self) -> list[str]:
        """Their names."""
        return list(self.entries[0].evaluation.header.attacks)

    @property
    def views(self) -> list[str]:
        """Views that any of the runs was attacked through, deployed first."""
        order = ["deployed", "published", "transfer", "adaptive"]
        return [v for v in order if any(v in e.evaluation.views for e in self.entries)]

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """Records by the labels of their runs."""
        return {entry.label: entry.evaluation for entry in self.entries}


def protocols(runs: Sequence[RunFiles]) -> list[Protocol]:
    """Protocols of all records, those that say most first: the most images, attacked adaptively."""
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
    """Dotted keys in which some configs differ, with the value of each run that has the key.

    Args:
        configs: By the names of their runs; empty ones, of runs without a config, do not count.
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
