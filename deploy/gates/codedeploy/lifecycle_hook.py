"""AWS CodeDeploy: a Lambda function for a lifecycle hook, such as BeforeAllowTraffic or AfterAllowTraffic.

It asks the gate until the deployment may go on or is to be taken back, and tells CodeDeploy; what is still held when
the function's own time is nearly over, fails. AFDP_URL, AFDP_TOKEN (scope gate) and AFDP_SERVICE are needed;
AFDP_VERSION, AFDP_ENVIRONMENT and AFDP_PHASE may be set; with AFDP_ON_ERROR=allow an exporter that is away fails
nothing. Its role needs codedeploy:PutLifecycleEventHookExecutionStatus.
"""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import boto3

_LEFT = 30_000  # milliseconds of the function's time in which CodeDeploy has to be told
_WAIT = 20  # seconds that one question waits for an answer


def handler(event: dict[str, str], context: Any) -> dict[str, str]:  # noqa: ANN401 - as Lambda calls it
    """Answer one lifecycle event."""
    verdict, reason = _verdict(context)
    status = "Succeeded" if verdict in {"allow", "warn"} else "Failed"
    print(f"afdp: {verdict}: {reason}")  # noqa: T201 - into the function's log
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"verdict": verdict, "status": status}


def _verdict(context: Any) -> tuple[str, str]:  # noqa: ANN401
    """The last verdict, and why."""
    while True:
        try:
            verdict, reason = _asked(min(_WAIT, max(_left(context) // 1000, 0)))
            waits = verdict in {"hold", "unknown"}
        except urllib.error.HTTPError as error:
            return _away(f"the gate refused the question ({error.code})")
        except (OSError, ValueError) as error:
            (verdict, reason), waits = _away(str(error)), True
        if not waits or _left(context) <= 0:
            return verdict, reason
        time.sleep(1)


def _asked(seconds: int) -> tuple[str, str]:
    names = {
        "service": "AFDP_SERVICE",
        "version": "AFDP_VERSION",
        "environment": "AFDP_ENVIRONMENT",
        "phase": "AFDP_PHASE",
    }
    asked = {name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)}
    query = urllib.parse.urlencode({**asked, "wait": seconds})
    request = urllib.request.Request(
        f"{os.environ['AFDP_URL'].rstrip('/')}/api/v1/gate?{query}",
        headers={"Authorization": f"Bearer {os.environ.get('AFDP_TOKEN', '')}"},
    )
    with urllib.request.urlopen(request, timeout=_WAIT + 10) as answer:
        data = json.load(answer)["data"]
    return data["verdict"], data["reason"]


def _away(reason: str) -> tuple[str, str]:
    return ("allow" if os.environ.get("AFDP_ON_ERROR") == "allow" else "failed"), reason


def _left(context: Any) -> int:  # noqa: ANN401
    return int(context.get_remaining_time_in_millis()) - _LEFT
