"""The errors a person can mend: one line that names what, where, what was found and what was expected."""


class UserError(ValueError):
    """Base of every error that the command line prints as one line, without a traceback."""


class ConfigError(UserError):
    """The config cannot be used."""


class DataError(UserError):
    """The tables cannot be used."""


class DivergedError(DataError):
    """Training left the numbers: these settings are too wild for this data."""


class BackendError(UserError):
    """TensorFlow was set up otherwise before twinspire could do it."""
