"""AWS' APIs as far as the executors call them: requests in their own protocols, answers in the recorded shapes."""

import copy
import json
import re
from datetime import UTC, datetime
from typing import Any, ClassVar

from aiohttp import web

from executors.targets import Target

BEGUN = datetime(2026, 3, 2, 11, 50, tzinfo=UTC)


class AWSTarget(Target):
    """Each call is an operation with its parameters, of which some change the state."""

    writing: ClassVar[set[str]]
    refusal = "AccessDeniedException"
    words = "not now"

    async def _handle(self, request: web.Request) -> web.Response:
        operation, params = await self.asked(request)
        if operation not in self.writing:
            return self.answered(200, self.answer(operation, params))
        self.writes.append((operation, request.path_qs, copy.deepcopy(params)))
        if self.fail == "refused":
            return self.answered(400, {"message": self.words}, self.refusal)
        if self.fail == "error":
            return self.answered(500, {"message": "boom"}, "ServerException")
        trouble = self.stale(params)
        answered = self.answered(400, {"message": "it is not as it was"}, trouble) if trouble else None
        if answered is None:
            answered = self.answered(200, self.answer(operation, params))
        self.called.set()
        if self.fail == "hang":
            await self.hung.wait()
        return answered

    async def asked(self, request: web.Request) -> tuple[str, dict[str, Any]]:
        body = await request.read()
        return request.headers["X-Amz-Target"].rpartition(".")[2], json.loads(body)

    def answered(self, status: int, content: dict[str, Any], error: str | None = None) -> web.Response:
        if error is not None:
            return web.json_response(content | {"__type": error}, status=status, headers={"x-amzn-ErrorType": error})
        return web.json_response(content, status=status, dumps=lambda found: json.dumps(found, default=stamp))

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def stale(self, params: dict[str, Any]) -> str | None:
        """The error of a request whose condition does not hold."""
        raise NotImplementedError


def stamp(moment: datetime) -> float:
    return moment.timestamp()


class ECSTarget(AWSTarget):
    """A service whose deployment of v2 is under way."""

    writing: ClassVar[set[str]] = {"StopServiceDeployment", "UpdateService"}
    place = "arn:aws:ecs:eu-west-1:123456789012:service-deployment/production/checkout"

    def __init__(self) -> None:
        super().__init__()
        self.deployments = [self.deployment("one", "SUCCESSFUL", "v1", None), self.deployment("two", "IN_PROGRESS")]

    def deployment(self, name: str, status: str, version: str = "v2", before: str | None = "v1") -> dict[str, Any]:
        return {
            "serviceDeploymentArn": f"{self.place}/{name}",
            "createdAt": BEGUN.timestamp() + len(name) + (60 if name == "two" else 0),
            "status": status,
            "targetServiceRevision": {"arn": f"revision/{version}"},
            "sourceServiceRevisions": [] if before is None else [{"arn": f"revision/{before}"}],
        }

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        newest = self.deployments[-1]
        match operation:
            case "ListServiceDeployments":
                if "nextToken" not in params:
                    return {"serviceDeployments": self.deployments[:1], "nextToken": "more"}
                return {"serviceDeployments": self.deployments[1:]}
            case "DescribeServiceDeployments":
                wanted = params["serviceDeploymentArns"]
                return {
                    "serviceDeployments": [each for each in self.deployments if each["serviceDeploymentArn"] in wanted]
                }
            case "DescribeServiceRevisions":
                (wanted,) = params["serviceRevisionArns"]
                version = wanted.rpartition("/")[2]
                return {
                    "serviceRevisions": [
                        {
                            "serviceRevisionArn": wanted,
                            "taskDefinition": f"arn:aws:ecs:eu-west-1:1:task-definition/checkout:{version[1]}",
                            "containerImages": [{"containerName": "app", "image": f"shop/checkout:{version}"}],
                        }
                    ]
                }
            case "StopServiceDeployment":
                assert params["stopType"] == "ROLLBACK"
                newest["status"] = "ROLLBACK_SUCCESSFUL"
                return {"serviceDeploymentArn": params["serviceDeploymentArn"]}
            case "UpdateService":
                self.deployments.append(self.deployment("three-and-last" + "x" * 60, "SUCCESSFUL", "v1", "v2"))
                return {"service": {"serviceName": "checkout"}}
        raise AssertionError(operation)

    def stale(self, params: dict[str, Any]) -> str | None:
        stopped = params.get("serviceDeploymentArn")
        known = self.deployments[-1]
        over = known["status"] not in {"PENDING", "IN_PROGRESS"} or known["serviceDeploymentArn"] != stopped
        return "ConflictException" if stopped is not None and over else None

    def change(self) -> None:
        self.deployments[-1]["status"] = "SUCCESSFUL"

    def returned(self) -> bool:
        newest = self.deployments[-1]
        return newest["status"] == "ROLLBACK_SUCCESSFUL" or newest["targetServiceRevision"]["arn"] == "revision/v1"


class ECSEndedTarget(ECSTarget):
    """The same once the deployment has ended well."""

    def __init__(self) -> None:
        super().__init__()
        self.deployments[-1]["status"] = "SUCCESSFUL"

    def change(self) -> None:
        self.deployments.append(self.deployment("three-and-last" + "x" * 60, "IN_PROGRESS", "v3", "v2"))


class CodeDeployTarget(AWSTarget):
    """A deployment of v2 that is under way."""

    writing: ClassVar[set[str]] = {"StopDeployment"}
    refusal = "InvalidDeploymentIdException"

    def __init__(self) -> None:
        super().__init__()
        place = {"applicationName": "checkout", "deploymentGroupName": "production"}
        self.deployments = {
            "d-NEW": {
                **place, "deploymentId": "d-NEW", "status": "InProgress", "creator": "user", "createTime": BEGUN,
                "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "checkout/v2.zip"}},
            },
            "d-OLD": {
                **place, "deploymentId": "d-OLD", "status": "Succeeded", "creator": "user",
                "createTime": BEGUN.replace(hour=3),
            },
        }  # fmt: skip

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "ListDeployments":
                return {"deployments": list(self.deployments)}
            case "BatchGetDeployments":
                return {"deploymentsInfo": [self.deployments[each] for each in params["deploymentIds"]]}
            case "GetDeployment":
                return {"deploymentInfo": self.deployments[params["deploymentId"]]}
            case "StopDeployment":
                assert params["autoRollbackEnabled"] is True
                stopped = self.deployments[params["deploymentId"]]
                stopped |= {"status": "Stopped", "rollbackInfo": {"rollbackDeploymentId": "d-BACK"}}
                back = {"deploymentId": "d-BACK", "status": "Succeeded", "creator": "codeDeployRollback"}
                self.deployments["d-BACK"] = back | {"createTime": BEGUN.replace(minute=58)}
                return {"status": "Succeeded"}
        raise AssertionError(operation)

    def stale(self, params: dict[str, Any]) -> str | None:
        over = self.deployments[params["deploymentId"]]["status"] != "InProgress"
        return "DeploymentAlreadyCompletedException" if over else None

    def change(self) -> None:
        self.deployments["d-NEW"]["status"] = "Succeeded"

    def returned(self) -> bool:
        return "d-BACK" in self.deployments


class LambdaTarget(AWSTarget):
    """An alias that gives version 2 a tenth of the traffic."""

    writing: ClassVar[set[str]] = {"UpdateAlias"}
    refusal = "InvalidParameterValueException"

    def __init__(self) -> None:
        super().__init__()
        self.state = {
            "Name": "production", "FunctionVersion": "1", "RevisionId": "r1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}},
        }  # fmt: skip

    async def asked(self, request: web.Request) -> tuple[str, dict[str, Any]]:
        assert request.path.startswith("/2015-03-31/functions/checkout/")
        if request.path.endswith("/versions"):
            return "ListVersionsByFunction", {}
        assert request.path.endswith("/aliases/production")
        return ("UpdateAlias", await request.json()) if request.method == "PUT" else ("GetAlias", {})

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListVersionsByFunction":
            listed = [("$LATEST", ""), ("1", "v1"), ("2", "v2")]
            return {"Versions": [{"Version": number, "Description": text} for number, text in listed]}
        if operation == "UpdateAlias":
            assert set(params) == {"FunctionVersion", "RoutingConfig", "RevisionId"}
            self.state |= params | {"RevisionId": "r2"}
        return self.state

    def stale(self, params: dict[str, Any]) -> str | None:
        return "PreconditionFailedException" if params["RevisionId"] != self.state["RevisionId"] else None

    def change(self) -> None:
        self.state["RevisionId"] = "r9"

    def returned(self) -> bool:
        return self.state["FunctionVersion"] == "1" and not self.state["RoutingConfig"]["AdditionalVersionWeights"]


class LambdaPromotedTarget(LambdaTarget):
    """An alias that is at version 2 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.state |= {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {}}}


class AppConfigTarget(AWSTarget):
    """A configuration whose deployment has reached half of the hosts."""

    writing: ClassVar[set[str]] = {"StopDeployment"}
    refusal = "BadRequestException"
    state_now = "DEPLOYING"

    def __init__(self) -> None:
        super().__init__()
        self.deployments = [
            {"DeploymentNumber": 7, "State": "COMPLETE", "ConfigurationName": "flags", "VersionLabel": "v1"},
            {
                "DeploymentNumber": 8, "State": self.state_now, "ConfigurationName": "flags", "VersionLabel": "v2",
                "ConfigurationVersion": "14",
            },
        ]  # fmt: skip
        if self.state_now == "COMPLETE":
            self.deployments[-1]["CompletedAt"] = "2026-03-02T11:00:00Z"

    async def asked(self, request: web.Request) -> tuple[str, dict[str, Any]]:
        if request.path == "/applications":
            return "ListApplications", {}
        if request.path == "/applications/abc1234/environments":
            return "ListEnvironments", {}
        found = re.fullmatch(r"/applications/abc1234/environments/def5678/deployments(?:/(\d+))?", request.path)
        assert found is not None
        if found[1] is None:
            return "ListDeployments", {}
        operation = "StopDeployment" if request.method == "DELETE" else "GetDeployment"
        return operation, {"DeploymentNumber": int(found[1]), "AllowRevert": request.headers.get("Allow-Revert")}

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "ListApplications":
                return {"Items": [{"Id": "zzz9999", "Name": "shop"}, {"Id": "abc1234", "Name": "checkout"}]}
            case "ListEnvironments":
                return {"Items": [{"Id": "def5678", "Name": "production", "ApplicationId": "abc1234"}]}
            case "ListDeployments":
                return {"Items": self.deployments[::-1]}
        known = next(each for each in self.deployments if each["DeploymentNumber"] == params["DeploymentNumber"])
        if operation == "StopDeployment":
            known["State"] = "REVERTED" if known["State"] == "COMPLETE" else "ROLLED_BACK"
        return known

    def stale(self, params: dict[str, Any]) -> str | None:
        newest = self.deployments[-1]
        ended = newest["State"] == "COMPLETE" and params["AllowRevert"] != "true"
        return "BadRequestException" if ended or newest["DeploymentNumber"] != params["DeploymentNumber"] else None

    def change(self) -> None:
        self.deployments.append({"DeploymentNumber": 9, "State": "DEPLOYING", "VersionLabel": "v3"})

    def returned(self) -> bool:
        return self.deployments[1]["State"] in {"ROLLED_BACK", "REVERTED"}


class AppConfigCompleteTarget(AppConfigTarget):
    """The same an hour after it has reached all of them."""

    state_now = "COMPLETE"
