"""Impacts -> what was learned -> a prediction. Pure: `now` is passed in, nothing is left to chance.

`fit` learns from cases, `predict` tells of a planned deployment, `mine` states patterns in words,
`forecast` ranks the coming hours, `dataset` lays the cases out for other people's models.
"""

from afdp_exporter.patterns.learning import Model, fit
from afdp_exporter.patterns.mining import mine
from afdp_exporter.patterns.moment import moment
from afdp_exporter.patterns.prediction import predict
from afdp_exporter.patterns.scoring import score
from afdp_exporter.patterns.windows import forecast

__all__ = ["Model", "fit", "forecast", "mine", "moment", "predict", "score"]
