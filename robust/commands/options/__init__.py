"""What each command is asked to do, found out before torch is imported."""
