"""Suites whose attacks take a few steps, so that a test of them takes a second."""

import inspect
from dataclasses import replace
from functools import partial

import torchattacks

_SHORT = {
    "steps": 3,
    "restarts": 3,
    "queries": 80,
    "n_queries": 5,
    "samples": 2,
    "iterations": 2,
    "search_steps": 2,
    "initial_evaluations": 10,
    "starts": 5,
}


def shortened(suite):
    """The suite with few steps, queries and samples, wherever its attacks have such arguments."""
    return replace(suite, attacks={name: _short(build) for name, build in suite.attacks.items()})


def shorten_auto_attack(monkeypatch):
    """The AutoAttack of torchattacks takes few steps and queries; no argument says how many."""
    usual = torchattacks.AutoAttack.forward

    def forward(self, images, labels):
        for attack in self._autoattack.attacks:
            vars(attack).update({key: n for key, n in _SHORT.items() if key in vars(attack)})
        return usual(self, images, labels)

    monkeypatch.setattr(torchattacks.AutoAttack, "forward", forward)


def _short(build):
    kind = next((value for value in build.args if isinstance(value, type)), build.func)
    known = inspect.signature(kind).parameters
    return partial(build, **{key: value for key, value in _SHORT.items() if key in known})
