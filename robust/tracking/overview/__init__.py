"""These modules decide what W&B shows of a run first: its name, its summary, its tags."""
