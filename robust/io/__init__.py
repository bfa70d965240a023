"""Files, YAML, names, notes and standard output: none of them needs torch."""
