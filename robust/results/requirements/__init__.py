"""Requirements on the numbers of a run: they hold, are broken, or cannot be told."""
