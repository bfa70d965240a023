"""The one error that is the user's to mend."""


class ConfigError(ValueError):
    """Something in a config, a flag or a file that the user can mend.

    The message says what was expected, what was got and what to do. The commands print it as one
    line and exit with code 2; every other exception is a defect of ours and keeps its traceback.
    """
