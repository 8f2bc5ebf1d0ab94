"""Everything that can go wrong, as one tree.

AFDPError
├── ConfigError          the configuration file is wrong; every fault at once, by place
├── BadInput             a body or a parameter is wrong; every fault at once, by field
│   └── Malformed            the body cannot be read at all
├── NotFound             no such thing
├── Conflict             the same id stands for something else
├── Unauthorised         no valid credential
├── Forbidden            a valid credential without the needed scope
├── TooLarge             more bytes than this route takes
├── SourceError          a metrics system did not give what was asked
│   ├── SourceUnavailable    away, overloaded or late: asking again may help
│   ├── QueryFailed          it answers others, and not this query: asking again a few times may help
│   └── SourceRefused        the question itself is wrong: asking again cannot help
├── CallFailed           a server that was called over HTTP gave no usable answer
├── BillError            a cloud did not report what it billed
├── FeedError            a system that knows of deployments did not report them
├── StoreError           the store cannot do its work
│   ├── LeaseLost            another process does this job by now: nothing is kept of what this one does for it
│   ├── StoreFull            no space left; accepted again once there is
│   └── StoreDamaged         the file is no store of ours, or broken
├── SecretUnreadable     a file that holds a secret or a certificate cannot be used now
├── DeliveryError        a notification did not reach its receiver
├── ActionError          an executor could not take a deployment back
│   ├── ActionRefused        it was surely not carried out
│   └── ActionUnknown        nobody can say whether it was
└── AnalysisError        an analysis ended without an answer (deadline, crash of its worker)
    └── EngineUnavailable    nothing can do it now: asking again may help
"""

from dataclasses import dataclass


class AFDPError(Exception):
    """Base of all errors that this program raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (`labels.team`, `started_at`) and what."""

    field: str
    message: str


class ConfigError(AFDPError):
    """The configuration cannot be used: `where` is the place, such as `sources[0].urll`; `others` are wrong as well."""

    def __init__(self, where: str, message: str, *others: Fault) -> None:
        self.faults = (Fault(where, message), *others)
        super().__init__(
            "\n".join(f"{each.field}: {each.message}" if each.field else each.message for each in self.faults)
        )
        self.where = where
        self.message = message


class BadInput(AFDPError):
    """An input from outside is wrong; `faults` lists everything that is."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        self.faults = faults


class Malformed(BadInput):
    """The body cannot be read at all."""


class NotFound(AFDPError):
    """No such deployment, page or kind."""


class Conflict(AFDPError):
    """The request contradicts what is stored; `faults` says where."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        self.faults = faults


class Unauthorised(AFDPError):
    """No credential, or one that is not known."""


class Forbidden(AFDPError):
    """The credential is known and does not allow this."""


class TooLarge(AFDPError):
    """The body is larger than this route takes."""


class SourceError(AFDPError):
    """A metrics system did not give what was asked; `reason` is a short word for a metric label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SourceUnavailable(SourceError):
    """The source is away, overloaded or late: asking again may help."""


class QueryFailed(SourceError):
    """The source answers other queries, and not this one: asking again a few times may help."""


class SourceRefused(SourceError):
    """The source refuses the question: asking again cannot help."""


class CallFailed(AFDPError):
    """A server that was called gave no usable answer; `again` says whether calling again at once may help.

    `reason` is a short word for a metric label; `unsent` says that the server surely was not asked.
    """

    def __init__(self, reason: str, message: str, *, again: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.again = again
        self.unsent = unsent


class BillError(AFDPError):
    """A cloud did not report what it billed, or what it billed cannot be held against list prices."""


class FeedError(AFDPError):
    """A system that knows of deployments did not report them; `wait` is in how many seconds it wants to be asked."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class StoreError(AFDPError):
    """The store cannot do its work."""


class LeaseLost(StoreError):
    """A job is held by another process by now, or is done: nothing is kept of what is written for it."""


class StoreFull(StoreError):
    """No space is left on the store's disk."""


class StoreDamaged(StoreError):
    """The file is broken, or was not written by this program."""


class SecretUnreadable(AFDPError):
    """A file that holds a secret or a certificate cannot be used now."""


class DeliveryError(AFDPError):
    """A notification did not reach its receiver; `retry` says whether sending again may help.

    `reason` is a short word for a metric label; `wait` is in how many seconds the receiver wants to be asked again.
    `unsent` says that surely nothing has arrived, so that the receiver stays with what it heard before.
    """

    def __init__(
        self, reason: str, message: str, *, retry: bool, wait: float | None = None, unsent: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.wait = wait
        self.unsent = unsent


class ActionError(AFDPError):
    """An executor could not take a deployment back."""


class ActionRefused(ActionError):
    """It was surely not carried out: the target stands otherwise, or refused it."""


class ActionUnknown(ActionError):
    """It may have been carried out, or may not; it is never begun again."""


class AnalysisError(AFDPError):
    """An analysis ended without an answer."""


class EngineUnavailable(AnalysisError):
    """What does analyses is away, or not as it has to be: asking again may help."""


def last_words(error: AFDPError) -> str:
    """What the command line says of an error that ends it: a line, or one for each fault."""
    lines = str(error).splitlines()
    return f"afdp: {error}" if len(lines) < 2 else "\n  ".join([f"afdp: {len(lines)} faults:", *lines])
