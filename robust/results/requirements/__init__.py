"""Requirements on the numbers of a run: they hold, do not hold, or cannot be told."""
