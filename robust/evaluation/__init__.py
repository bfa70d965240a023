"""Evaluation under attack: records, the numbers derived from them, and what to believe."""

from robust.evaluation.callback import AttackEvaluation

__all__ = ["AttackEvaluation"]
