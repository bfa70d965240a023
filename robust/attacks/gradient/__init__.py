"""These attacks follow the gradient within a budget."""
