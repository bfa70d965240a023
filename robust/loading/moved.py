"""Class paths that files hold from before modules moved, and where their classes are now."""

from typing import Any

MOVED = {
    "robust.attacks.apgd": "robust.attacks.gradient.apgd",
    "robust.attacks.bim": "robust.attacks.gradient.bim",
    "robust.attacks.boundary": "robust.attacks.query.boundary",
    "robust.attacks.carlini_wagner": "robust.attacks.minimal.carlini_wagner",
    "robust.attacks.ddn": "robust.attacks.minimal.ddn",
    "robust.attacks.deepfool": "robust.attacks.minimal.deepfool",
    "robust.attacks.fab": "robust.attacks.minimal.fab",
    "robust.attacks.fgsm": "robust.attacks.gradient.fgsm",
    "robust.attacks.gradient": "robust.attacks.gradient.base",
    "robust.attacks.hop_skip_jump": "robust.attacks.query.hop_skip_jump",
    "robust.attacks.jsma": "robust.attacks.gradient.jsma",
    "robust.attacks.lbfgs": "robust.attacks.minimal.lbfgs",
    "robust.attacks.noise": "robust.attacks.query.noise",
    "robust.attacks.pgd": "robust.attacks.gradient.pgd",
    "robust.attacks.pointwise": "robust.attacks.query.pointwise",
    "robust.attacks.query": "robust.attacks.query.base",
    "robust.attacks.released": "robust.attacks.wang2018_released",
    "robust.attacks.square": "robust.attacks.query.square",
    "robust.defenses.interpolation": "robust.defenses.wnll.interpolation",
    "robust.defenses.schedule": "robust.defenses.wnll.schedule",
    "robust.defenses.wnll": "robust.defenses.wnll.defense",
    "robust.draws": "robust.random_streams",
    "robust.evaluation.measurements": "robust.measures.measurements",
    "robust.networks.wnll": "robust.defenses.wnll.laplacian",
}
"""Modules of classes that files may name, by their earlier names."""


def current(path: str) -> str:
    """Return a class path with the module where its class is now."""
    module, _, name = path.rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else path


def update(content: Any) -> Any:  # noqa: ANN401
    """Return plain values with `current` class paths; mappings and lists are changed in place."""
    if isinstance(content, str):
        return current(content)
    stack, seen = [content], set[int]()
    while stack:
        part = stack.pop()
        if not isinstance(part, (dict, list)) or id(part) in seen:
            continue
        seen.add(id(part))
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(value, str):
                part[key] = current(value)
            else:
                stack.append(value)
    return content
