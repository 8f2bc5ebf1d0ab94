"""Training examples -> a model -> predictions, patterns and windows. Pure and deterministic: `now` is passed in.

`fit` trains on examples, `predict` predicts a planned deployment, `mine` finds patterns, `rank_windows` ranks the
coming hours, `score` compares predictions with outcomes, `deployment_context` prepares the context of a deployment.
"""

from afdp_exporter.patterns.features.extraction import deployment_context
from afdp_exporter.patterns.mining.search import mine
from afdp_exporter.patterns.models.training import Model, fit
from afdp_exporter.patterns.prediction import predict
from afdp_exporter.patterns.scoring import score
from afdp_exporter.patterns.windows import rank_windows

__all__ = ["Model", "deployment_context", "fit", "mine", "predict", "rank_windows", "score"]
