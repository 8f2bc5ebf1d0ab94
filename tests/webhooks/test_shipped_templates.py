"""What the templates of `deploy/` send is what the parsers read."""

import re
from pathlib import Path

import pytest

from afdp_exporter.webhooks import argo_rollouts, argocd

SENDERS = Path(__file__).parents[2] / "deploy/senders"


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("argocd/notifications.yml", argocd._Application.model_fields),
        ("argo-rollouts/notifications.yml", argo_rollouts._Rollout.model_fields),
    ],
)
def test_every_field_that_a_template_sends_is_read(file: str, read: dict[str, object]) -> None:
    sent = set(re.findall(r'"(\w+)": \[?\{\{', (SENDERS / file).read_text()))
    assert len(sent) > 6
    assert sent <= set(read)
