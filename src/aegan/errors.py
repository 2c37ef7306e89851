"""The errors a user is meant to read: each says what was wrong and how to put it right."""


class AeganError(Exception):
    """An expected failure; shown as its message, without a traceback."""


class ConfigError(AeganError, ValueError):
    """The configuration cannot be run."""


class DataError(AeganError, ValueError):
    """The data is missing, damaged or not of the kind that was configured."""


class StoreError(AeganError, OSError):
    """The folder or bucket cannot be read or written."""


class PreconditionError(StoreError):
    """Someone else wrote the object first; nothing was changed."""


class RegistryError(AeganError, LookupError):
    """No such model, version or alias."""


class IntegrityError(AeganError):
    """A file is not the one that was published."""


class TrainingError(AeganError, ArithmeticError):
    """Training cannot go on, for example because the loss is no longer a number."""


class DependencyError(AeganError, ImportError):
    """A part of the package that was not installed is needed."""


def describe(error: Exception) -> str:
    """An error in words: ours as it is; others say little without their type."""
    if isinstance(error, AeganError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")
