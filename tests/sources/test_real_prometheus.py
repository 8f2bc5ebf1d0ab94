"""Against the real thing: values from outside in queries, and a server that dies and comes back."""

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources._promql import BoundQuery
from real_parts.fixtures import Start
from real_parts.servers import Prometheus

END = time.time() // 60 * 60 - 600.0
WINDOW = Window(start=datetime.fromtimestamp(END, UTC), end=datetime.fromtimestamp(END, UTC))
STEP = timedelta(seconds=60)

ATTACKS = r"""
x'} or vector(42) or up{a='
x"} or vector(42) or up{a="
x`} or vector(42) or up{a=`
.*
.+
a|b
$service
${service}
$1
\
\\
\"
\'
\n
\d
\x41
\u0041
# comment
{}
a{b}
(
)
[
]
^
$
(?i)a
'
"
`
''
""
--
;
%s
{{ 1 }}
<script>
=cmd
""".strip().split("\n")
UNSEEN = ["", "\n", "\r\n", "\t", "\0", "\x7f", "\u202e", "\ufeff", "\u2028", "é", "\U0001f600", "a" * 2000]
TEMPLATES = [
    f"hostile{{service{matcher}}}" for matcher in ('="$service"', "='$service'", "=`$service`", '=~"$service"')
]


def hostile(number: int) -> list[str]:
    """The attacks above and mixtures of their pieces, each value once."""
    chance = random.Random(20_260_731)
    values = dict.fromkeys(ATTACKS + UNSEEN)
    while len(values) < number:
        values["".join(chance.choices([*ATTACKS, *UNSEEN[:-1], *"abc ."], k=chance.randint(2, 5)))] = None
    return list(values)


def sample(name: str, value: float, **labels: str) -> Series:
    return Series(metric=name, labels=labels, times=np.array([END]), values=np.array([value]))


async def test_a_value_from_outside_selects_its_own_series_and_nothing_else(prometheus: Prometheus) -> None:
    values = hostile(500)
    prometheus.remote_write(sample("hostile", index, service=value) for index, value in enumerate(values) if value)
    source = build("sources", "prometheus", {"url": prometheus.url}, "")
    for index, value in enumerate(values):
        query = TEMPLATES[index % len(TEMPLATES)]
        found = await ask(source, query, {"service": value}, WINDOW, STEP)
        assert [(each.labels.get("service"), each.values[0]) for each in found] == ([(value, index)] if value else [])


async def test_a_prometheus_that_was_killed_is_away_and_answers_again_after_its_return(
    start: Start, tmp_path: Path
) -> None:
    server = start(Prometheus(tmp_path))
    server.remote_write([sample("up", 7)])
    source = build("sources", "prometheus", {"url": server.url}, "")
    server.kill()
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="Connection refused") as away:
            await ask(source, "up", {}, WINDOW, STEP)
        assert away.value.reason == "connection"
    server.start()
    (series,) = await ask(source, "up", {}, WINDOW, STEP)
    assert series.values.tolist() == [7]


async def test_what_prometheus_says_of_a_bad_query_reaches_the_reader(prometheus: Prometheus) -> None:
    source = build("sources", "prometheus", {"url": prometheus.url}, "")
    prometheus.remote_write([sample("twin", 1, side="a"), sample("twin", 2, side="b")])
    (bad,) = await source.fetch([BoundQuery("rate(up)[")], WINDOW, STEP)
    assert isinstance(bad, SourceRefused)
    assert "parse error" in str(bad)
    with pytest.raises(SourceRefused, match="many-to-many") as wrong:
        await ask(source, "twin * on() twin", {}, WINDOW, STEP)
    assert (bad.reason, wrong.value.reason) == ("bad_data", "execution")


async def test_a_query_that_takes_longer_than_the_timeout_is_a_timeout(prometheus: Prometheus) -> None:
    source = build("sources", "prometheus", {"url": prometheus.url, "timeout": "10ms"}, "")
    long = Window(start=WINDOW.start - timedelta(days=30), end=WINDOW.end)
    with pytest.raises(SourceUnavailable) as away:
        await ask(source, "sum_over_time(vector(time())[1d:1s])", {}, long, STEP)
    assert away.value.reason in {"timeout", "http_503"}
