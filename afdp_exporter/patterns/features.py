"""What a column of the training data is: its type, its role, and when it is known."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a column's values."""

    TEXT = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "datetime"


class Role(StrEnum):
    """What a column is for; only `context` and `input` may feed a model."""

    ID = "id"
    CONTEXT = "context"
    INPUT = "input"
    OUTCOME = "outcome"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column. Whatever is an outcome or a label is known only after the deployment."""

    name: str
    kind: Kind
    role: Role
    description: str
    unit: str | None = None
    nullable: bool = True

    @property
    def available_at(self) -> str:
        """`before` or `after` the deployment."""
        return "after" if self.role in {Role.OUTCOME, Role.LABEL} else "before"

    def entry(self) -> dict[str, object]:
        """Its line in the feature dictionary."""
        return {
            "name": self.name,
            "dtype": str(self.kind),
            "unit": self.unit,
            "description": self.description,
            "role": str(self.role),
            "available_at": self.available_at,
            "nullable": self.nullable,
        }
