"""The commands, one file each, and what they are as processes."""
