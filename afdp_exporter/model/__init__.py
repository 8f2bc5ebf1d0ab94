"""The words of the domain. Frozen, plain, shared by every part; nothing here does input or output.

Times are aware datetimes in these types and Unix seconds in arrays. Wherever `low` and `high` stand,
they are the 5 % and 95 % points.
"""

from afdp_exporter.model.annotations import Annotation
from afdp_exporter.model.announcements import Announcement, Ignored, Origin
from afdp_exporter.model.courses import Course, Level
from afdp_exporter.model.deployments import (
    ChangeType,
    Deployment,
    Event,
    Occasion,
    OccasionKind,
    Outcome,
    Service,
    Status,
    Strategy,
)
from afdp_exporter.model.figures import Estimate, Floats, Trait, Window
from afdp_exporter.model.impacts import (
    Attribution,
    Cost,
    Decision,
    Impact,
    Link,
    Look,
    LookState,
    Measured,
    Rival,
    SeenBefore,
    Shift,
    Stability,
)
from afdp_exporter.model.learning import (
    Basis,
    Case,
    Condition,
    Context,
    Foretold,
    Pattern,
    PatternKind,
    Prediction,
    Score,
    Similar,
    Slot,
    Windows,
)
from afdp_exporter.model.metrics import Layer, Metric, Money, Series, Worse
from afdp_exporter.model.notices import DueNotice, Notice

__all__ = [
    "Annotation",
    "Announcement",
    "Attribution",
    "Basis",
    "Case",
    "ChangeType",
    "Condition",
    "Context",
    "Cost",
    "Course",
    "Decision",
    "Deployment",
    "DueNotice",
    "Estimate",
    "Event",
    "Floats",
    "Foretold",
    "Ignored",
    "Impact",
    "Layer",
    "Level",
    "Link",
    "Look",
    "LookState",
    "Measured",
    "Metric",
    "Money",
    "Notice",
    "Occasion",
    "OccasionKind",
    "Origin",
    "Outcome",
    "Pattern",
    "PatternKind",
    "Prediction",
    "Rival",
    "Score",
    "SeenBefore",
    "Series",
    "Service",
    "Shift",
    "Similar",
    "Slot",
    "Stability",
    "Status",
    "Strategy",
    "Trait",
    "Window",
    "Windows",
    "Worse",
]
