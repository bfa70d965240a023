"""Some adversarial images are kept while a suite runs, to be scored again later."""
