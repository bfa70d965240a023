"""The attack unit test: whether an attack finds an adversarial image where there surely is one."""
