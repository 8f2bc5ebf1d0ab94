"""Executors of AWS where moto plays it: Lambda as a whole, what CodeDeploy is asked, and the update of ECS.

moto knows none of the other calls: no service deployment of ECS, no stop of CodeDeploy, no deployment of AppConfig.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Executor, Order
from afdp_exporter.settings import build

REGION = "eu-west-1"


def order(**words: Any) -> Order:  # noqa: ANN401
    plain = Order(
        deployment_id="d2", service="checkout", environment="production", at=datetime.now(UTC), version="v2",
        previous_version="v1",
    )  # fmt: skip
    return replace(plain, **words)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """AWS on the loopback; its clock is the machine's."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-secret")


def client(moto: str, service: str) -> Any:  # noqa: ANN401 - made by botocore
    return botocore.session.Session().create_client(service, region_name=REGION, endpoint_url=moto)


def executor(moto: str, kind: str) -> Executor:
    made: Executor = build("executors", kind, {"url": moto, "region": REGION, "timeout": "60s"}, "")
    return made


def code(version: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", f"def handler(event, context): return {version!r}")
    return packed.getvalue()


@pytest.mark.parametrize("canary", [False, True])
async def test_an_alias_of_lambda_goes_back_once(moto: str, canary: bool) -> None:
    name = f"checkout-{canary}"
    role = client(moto, "iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    aws = client(moto, "lambda")
    aws.create_function(
        FunctionName=name, Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": code("v0")}
    )
    for version in ("v1", "v2"):
        aws.update_function_code(FunctionName=name, ZipFile=code(version))
        aws.publish_version(FunctionName=name, Description=version)
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}} if canary else {}
    aws.create_alias(FunctionName=name, Name="production", FunctionVersion="1" if canary else "2", **weights)
    back = executor(moto, "lambda")
    plan = await back.check(order(service=name))
    assert await back.verify(plan) is False
    await back.apply(plan)
    assert await back.verify(plan)
    found = aws.get_alias(FunctionName=name, Name="production")
    assert (found["FunctionVersion"], found["RoutingConfig"]) == ("1", {"AdditionalVersionWeights": {}})
    assert (await back.check(order(service=name))).done


async def test_a_deployment_of_codedeploy_is_found_by_its_revision(moto: str) -> None:
    aws, group = client(moto, "codedeploy"), "production"
    aws.create_application(applicationName="checkout", computePlatform="Server")
    aws.create_deployment_group(
        applicationName="checkout", deploymentGroupName=group, serviceRoleArn="arn:aws:iam::123456789012:role/r"
    )
    for version in ("v1", "v2"):
        place = {"bucket": "builds", "key": f"checkout/{version}.zip", "bundleType": "zip"}
        newest = aws.create_deployment(
            applicationName="checkout", deploymentGroupName=group, revision={"revisionType": "S3", "s3Location": place}
        )["deploymentId"]
    back = executor(moto, "codedeploy")
    plan = await back.check(order())
    assert plan.request["params"] == {"deploymentId": newest, "autoRollbackEnabled": True}
    assert await back.verify(plan) is False
    for words in ({"version": "v9"}, {"service": "search"}):
        with pytest.raises(ActionRefused):
            await back.check(order(**words))


async def test_ecs_takes_the_update_to_the_task_definition_before(moto: str) -> None:
    aws, place = client(moto, "ecs"), {"cluster": "production", "service": "checkout"}
    aws.create_cluster(clusterName="production")
    known = [
        aws.register_task_definition(
            family="checkout", containerDefinitions=[{"name": "app", "image": f"shop/checkout:{version}", "memory": 64}]
        )["taskDefinition"]["taskDefinitionArn"]
        for version in ("v1", "v2")
    ]
    aws.create_service(cluster="production", serviceName="checkout", taskDefinition=known[1], desiredCount=1)
    back: Any = executor(moto, "ecs")
    await back.write(back.request("UpdateService", **place, taskDefinition=known[0]))
    (found,) = aws.describe_services(cluster="production", services=["checkout"])["services"]
    assert found["taskDefinition"] == known[0]
    with pytest.raises(ActionRefused, match="ServiceNotFound"):
        await back.write(back.request("UpdateService", **place | {"service": "gone"}, taskDefinition=known[0]))
