"""Train adversarial defenses, attack them, and tell the truth about the result."""
