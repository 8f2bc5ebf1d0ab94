"""The use case after a deployment: what did it do?"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.settings import STRICT, Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What an analysis fetches, and how long it may take."""

    __pydantic_config__: ClassVar = STRICT

    history: Duration = timedelta(days=7)
    step: Duration = timedelta(seconds=60)
    deadline: Duration = timedelta(seconds=30)
    workers: Annotated[int, Field(ge=1, le=64)] = 2
