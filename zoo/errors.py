"""The errors zoo raises. Each message says what was wrong, where, and what to do next, in one line."""

from collections.abc import Sequence
from typing import NamedTuple


class ZooError(Exception):
    """Base of every error that zoo raises on purpose; the command line prints its text and exits with `exit_code`."""

    exit_code = 1


class Problem(NamedTuple):
    """One thing that is wrong with a file of cards."""

    key: str
    """Model and key, dotted: `vgg16.torchvision.labels.offset`; empty where it is the whole file."""
    what: str
    line: int | None = None
    """Where it is stated, if it is."""


class CardError(ZooError):
    """A registry card is malformed or contradicts another one."""

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems)
        """All that the text tells, and what it only counts."""


class UnknownModelError(ZooError):
    """No card has this name; the message offers the nearest names."""


class UnknownFactError(ZooError):
    """A fact that no source gives is needed; the caller has to supply it."""


class FetchError(ZooError):
    """A file could not be had from any of its places, or its bytes are not the published ones."""


class PushError(ZooError):
    """A model could not be uploaded."""


class FormatError(ZooError):
    """A model file is damaged, hostile, or not what it claims to be."""


class UnsupportedError(FormatError):
    """A model file is sound but uses something zoo cannot express."""


class ParityError(ZooError):
    """A converted model does not give the numbers that the origin framework gave."""


class DataError(ZooError):
    """A data set cannot be trained or evaluated on."""


class ZooWarning(UserWarning):
    """Something works on, and the user should know: a name has changed, a registry of others is broken."""


class UsageError(ZooError):
    """An argument is impossible; the message lists what is allowed."""

    exit_code = 2
