"""What is expected, as the API words it: predictions, patterns and windows."""

from datetime import date
from typing import Annotated

from pydantic import AliasPath, Field

from afdp_exporter.model import CloudCost, ExpectedCost, Outcome, PatternKind, PoolingLevel, Prediction
from afdp_exporter.responses import Count, EstimateResponse, MoneyResponse, Number, Ratio, Response, Time
from afdp_exporter.watching.report import DeploymentResponse

_OF_TROUBLE = "The chance of degradation or failure."


class ForecastResponse(EstimateResponse):
    """A figure that may not move at all: the points of both possibilities together, the chance that it moves, and its
    points if it does."""

    chance_ratio: Annotated[Ratio, Field(validation_alias="chance")]
    if_moved: EstimateResponse | None


class ForecastMoneyResponse(ForecastResponse):
    """Money that may not move at all; a loss is positive, a gain negative."""

    currency: str


class BillResponse(Response):
    """What a bill has of the list prices of the same things, over the days that both have."""

    bill: str
    ratio: EstimateResponse
    days: Count
    since: date
    until: Annotated[date, Field(description="The last of the days.")]


class CloudCostResponse(MoneyResponse):
    """What a deployment changes of the cloud's cost, with the 90 % range."""

    sentence: str
    billed: Annotated[BillResponse | None, Field(description="null where it is at the configured prices.")]


class SimilarResponse(Response):
    """An earlier deployment that the prediction rests on, and why."""

    deployment_id: str
    service: str
    version: str | None
    started_at: Time
    similarity_ratio: Ratio
    why: tuple[str, ...]
    outcome: Outcome
    cost_per_hour: Number


class PredictionResponse(Response):
    """What a planned deployment is expected to do: per metric, in money, as a risk, and on what evidence."""

    deployment_id: str
    deployment: DeploymentResponse
    basis: PoolingLevel
    n: Annotated[Count, Field(description="How many deployments it rests on.")]
    metrics: dict[str, ForecastResponse]
    cost_per_hour: ForecastMoneyResponse | None
    cloud_cost_per_hour: Annotated[
        CloudCostResponse | None, Field(description="null where its traits name no requests (docs/cloud-cost.md)")
    ]
    risk_ratio: Annotated[Ratio, Field(description=_OF_TROUBLE)]
    risk: EstimateResponse
    failure_ratio: Ratio
    failure: EstimateResponse
    similar: tuple[SimilarResponse, ...]
    warnings: Annotated[tuple[str, ...], Field(description="Sentences.")]


class ConditionResponse(Response):
    """What a deployment must be for a pattern to speak of it."""

    trait: str
    op: str
    value: bool | int | float | str


class PatternResponse(Response):
    """What was learned: under these conditions, this follows."""

    kind: PatternKind
    sentence: str
    conditions: tuple[ConditionResponse, ...]
    target: Annotated[str, Field(description="A metric, cost_per_hour or outcome.")]
    effect: EstimateResponse
    multiplier: Annotated[Number, Field(validation_alias=AliasPath("multiplier", "median"))]
    multiplier_range: Annotated[EstimateResponse | None, Field(validation_alias="multiplier")]
    n: Count
    q_value: Ratio
    last_seen: Time
    deployments: tuple[str, ...]


class WindowResponse(Response):
    """A stretch of time."""

    start: Time
    end: Time


class SlotResponse(Response):
    """One hour in which a deployment may start."""

    start: Time
    end: Time
    risk_ratio: Annotated[Ratio, Field(description=_OF_TROUBLE, validation_alias=AliasPath("risk", "median"))]
    risk: EstimateResponse
    cost_per_hour: Annotated[Number, Field(description="The expected cost.")]
    reasons: tuple[str, ...]
    n: Annotated[
        Count, Field(description="Measured deployments of the service on this weekday and in this part of the day.")
    ]


class WindowsResponse(Response):
    """The coming hours of a service, the best first."""

    service: str
    made_at: Time
    basis: PoolingLevel
    n: Count
    sentence: str
    best: tuple[WindowResponse, ...]
    loss_avoided: Number
    saving: Annotated[
        EstimateResponse | None,
        Field(description="The loss avoided with its range; null where no coming hour is known to be better than now."),
    ]
    currency: str | None
    now: SlotResponse
    hours: Annotated[tuple[SlotResponse, ...], Field(validation_alias="slots")]


def prediction_of(
    prediction: Prediction, deployment: DeploymentResponse, warnings: tuple[str, ...] = ()
) -> PredictionResponse:
    """A prediction with the deployment that it is for; the `warnings` come before its own."""
    return PredictionResponse(
        deployment_id=prediction.deployment_id,
        deployment=deployment,
        basis=prediction.basis,
        n=prediction.n,
        metrics=dict(prediction.metrics),
        cost_per_hour=_cost(prediction.cost),
        cloud_cost_per_hour=_cloud_cost(prediction.cloud_cost),
        risk_ratio=prediction.risk.median,
        risk=prediction.risk,
        failure_ratio=prediction.failure.median,
        failure=prediction.failure,
        similar=prediction.similar,
        warnings=(*warnings, *prediction.warnings),
    )


def _cost(cost: ExpectedCost | None) -> ForecastMoneyResponse | None:
    if cost is None:
        return None
    return ForecastMoneyResponse.beside(ForecastResponse.model_validate(cost.per_hour), currency=cost.currency)


def _cloud_cost(bill: CloudCost | None) -> CloudCostResponse | None:
    if bill is None:
        return None
    billed = None if bill.billed is None else BillResponse.model_validate(bill.billed)
    return CloudCostResponse.beside(bill.per_hour, currency=bill.currency, sentence=bill.sentence, billed=billed)
