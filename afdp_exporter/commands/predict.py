"""`afdp predict`: ask a running exporter what a planned deployment would do."""

import json
import sys
from functools import partial
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from afdp_exporter.commands._calling import Call, calling_options, plain, refusal, token_of
from afdp_exporter.commands._options import output_option
from afdp_exporter.commands.annotate import body_of, describing
from afdp_exporter.errors import BadInput, CallFailed
from afdp_exporter.model import Estimate, Forecast
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_forecast, format_money, format_share, format_share_range


@click.command(
    "predict",
    epilog="Example: afdp predict --service api --change-type database --trait table_rows=2000000",
)
@describing
@calling_options(timeout=60.0, why="; the first answer may take long")
@output_option
def predict(
    url: str,
    token_file: str | None,
    *,
    timeout: float,
    tries: int,
    output: str,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:
    """Predict a planned deployment: risk, cost, each metric, and why.

    Nothing is recorded.
    """
    address = f"{url.rstrip('/')}/api/v1/predictions"
    call = Call(token=token_of(token_file), timeout=timeout, tries=tries)
    try:
        answer = call("POST", address, body_of(options))
    except BadInput as error:
        _end(str(error))
    except CallFailed as error:
        _end(plain(error, url))
    if not answer.ok:
        _end(refusal(answer, url))
    found: dict[str, Any] = json.loads(answer.body)
    if output == "json":
        click.echo(json.dumps(found))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    rests = f"{found['n']} past deployments, basis: {found['basis']}"
    click.echo(f"Risk of degradation or failure: {format_share_range(_estimate(found['risk']))} ({rests})")
    if found["cost_per_hour"]:
        cost = found["cost_per_hour"]
        worded = partial(format_money, cost["currency"], per_hour=True)
        click.echo(f"Expected loss: {format_forecast(_forecast(cost), worded)}")
    if found["cloud_cost_per_hour"]:
        click.echo(f"Cloud cost: {found['cloud_cost_per_hour']['sentence']}")
    for warning in found["warnings"]:
        click.echo(f"- {warning}")
    metrics, similar = Table("metric", "expected change [5 %, 95 %]"), Table("similar", "alike", "outcome", "why")
    for name, figures in found["metrics"].items():
        metrics.add_row(display_name(name), format_forecast(_forecast(figures), partial(format_change, name)))
    for each in found["similar"]:
        name = f"{each['service']} {each['version'] or each['deployment_id']}"
        similar.add_row(name, format_share(each["similarity_ratio"]), each["outcome"], "; ".join(each["why"]))
    console = Console()
    for table in (metrics, similar):
        if table.row_count:
            console.print(table)


def _forecast(figures: dict[str, Any]) -> Forecast:
    moved = figures["if_moved"] and _estimate(figures["if_moved"])
    low, median, high = figures["low"], figures["median"], figures["high"]
    return Forecast(low=low, median=median, high=high, chance=figures["chance_ratio"], if_moved=moved)


def _estimate(figures: dict[str, Any]) -> Estimate:
    return Estimate(low=figures["low"], median=figures["median"], high=figures["high"])


def _end(message: str) -> NoReturn:
    click.echo(f"afdp predict: {message}", err=True)
    sys.exit(1)


COMMAND = predict
