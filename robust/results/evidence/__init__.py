"""Evidence beside records: the attack unit test, and what was tried to see signs of masking."""
