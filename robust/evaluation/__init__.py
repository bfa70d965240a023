"""Evaluation under attack: records, the numbers derived from them, and what to believe."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust.evaluation.callback import AttackEvaluation

__all__ = ["AttackEvaluation"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`AttackEvaluation`, once it is asked for: who only reads records needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from robust.evaluation.callback import AttackEvaluation

    return AttackEvaluation
