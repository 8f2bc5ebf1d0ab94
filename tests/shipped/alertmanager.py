"""The Alertmanager example with its receivers on the loopback."""

from typing import Any

import yaml

from shipped import ROOT


def rewired(url: str) -> dict[str, Any]:
    """The example; who is paged is reached at `url`/on-call, the chat at `url`/chat, at once; no mail is sent."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "alerting/alertmanager.yml").read_text("utf-8"))
    config["global"] = {"slack_api_url": f"{url}/chat"}
    config["templates"] = [str(ROOT / "alerting/templates/*.tmpl")]
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    receivers["on-call"]["webhook_configs"][0]["url"] = f"{url}/on-call"
    del receivers["mail"]["email_configs"]
    return config
