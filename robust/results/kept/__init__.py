"""Some adversarial images are kept beside the records, so that anyone can score them again."""
