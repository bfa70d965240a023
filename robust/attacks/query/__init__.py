"""These attacks ask for predictions only."""
