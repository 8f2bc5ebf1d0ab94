"""The workers of a Dask cluster: calls go there in batches, each made by a child process of a worker.

Dask starts a batch anew on another worker where its own is gone, which is well since calls change nothing. What it
does not know, a deadline and an end of what is under way, the worker's children and `remote.end` do.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import dask
import structlog
from distributed import Client, Future, Security
from distributed.scheduler import KilledWorker

from afdp_exporter.compute import ComputePool, remote
from afdp_exporter.compute.calls import packed, unpacked
from afdp_exporter.compute.settings import Dask
from afdp_exporter.errors import AnalysisError, EngineUnavailable

T = TypeVar("T")
log = structlog.get_logger(__name__)

_CONNECT = 10.0  # seconds to reach the scheduler
_PATIENCE = 60.0  # seconds with no worker at all, as when a cluster is scaled up
_LONGEST_END = 5.0  # seconds until an end no longer waits for the cluster
_SERIES = "64 MiB"  # of a batch; Dask warns of what it holds to be data that lies elsewhere


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call, and who waits for its answer."""

    call: remote.Call
    group: str
    answer: "asyncio.Future[bytes]"


class DaskComputePool:
    """As many batches at once as there are `workers`; connected by the first call, and again after the scheduler left.

    Under little load each call goes by itself; what has to wait goes with others of its group.
    """

    def __init__(self, settings: Dask, *, workers: int, near: ComputePool) -> None:
        self._settings = settings
        self._workers = workers
        self._near = near
        self._waiting: list[_Waiting] = []
        self._batches: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._loose: set[asyncio.Task[Any]] = set()
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    @property
    def near(self) -> ComputePool:
        """As the port says: processes of this machine."""
        return self._near

    async def run(
        self,
        function: Callable[..., T],
        *arguments: Any,  # noqa: ANN401
        deadline: timedelta,
        group: str = "",
        **words: Any,  # noqa: ANN401
    ) -> T:
        """As the port says: the child of what is late or cancelled is killed."""
        content = await asyncio.to_thread(packed, function, arguments, words)
        call = remote.Call(uuid.uuid4().hex, content, deadline.total_seconds())
        waiting = _Waiting(call, group, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._send_what_fits()
        try:
            answer = await waiting.answer
        except asyncio.CancelledError:
            self._abandon(waiting)
            raise
        result: T = await asyncio.to_thread(unpacked, answer)
        return result

    def resize(self, workers: int) -> None:
        """As the port says."""
        self._workers = workers
        self._send_what_fits()

    async def close(self) -> None:
        """As the port says: workers that do not answer in time end what they have at its deadline."""
        under_way = [each for batch in self._batches.values() for each in batch]
        for each in [*self._waiting, *under_way]:
            if not each.answer.done():
                each.answer.set_exception(AnalysisError("the analysis was ended"))
        self._waiting.clear()
        for task in self._batches:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_END):
                await self._end([each.call.id for each in under_way])
                await self._disconnect()
        await self._near.close()

    def _send_what_fits(self) -> None:
        while self._waiting and len(self._batches) < self._workers:
            group = self._waiting[0].group
            batch = [each for each in self._waiting if each.group == group][: self._settings.batch]
            self._waiting = [each for each in self._waiting if each not in batch]
            self._begin(batch)

    def _begin(self, batch: list[_Waiting]) -> None:
        task = asyncio.create_task(self._work(batch))
        self._batches[task] = batch
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        del self._batches[task]
        self._send_what_fits()

    async def _work(self, batch: list[_Waiting]) -> None:
        """Have a batch answered; where it has brought down several workers each of its calls goes alone."""
        try:
            answers = await self._answers([each.call for each in batch])
        except KilledWorker as error:
            if len(batch) > 1:
                for each in batch:  # one after the other: of two that a worker has when it dies, either may be to blame
                    await self._work([each])
                return
            answers = [AnalysisError(f"the Dask workers of the analysis died: {error}")]
        except EngineUnavailable as error:
            log.warning("Dask cannot be used", address=self._settings.address, error=str(error))
            answers = [error] * len(batch)
        for each, answer in zip(batch, answers, strict=True):
            if each.answer.done():
                continue
            if isinstance(answer, AnalysisError):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)

    async def _answers(self, calls: Sequence[remote.Call]) -> Sequence[bytes | AnalysisError]:
        """Raises KilledWorker, EngineUnavailable."""
        expected = await asyncio.to_thread(remote.versions)
        client: Client | None = None
        future: Future[list[bytes | AnalysisError]] | None = None
        try:
            client = await self._connected()
            future = client.submit(remote.answer, calls, expected, key=f"afdp-{uuid.uuid4().hex}", pure=False)
            return await self._result(client, future)
        except (KilledWorker, EngineUnavailable):
            raise
        except (CancelledError, OSError, TimeoutError) as error:  # what Dask says when its scheduler is gone
            if client is not None:
                self._forget(client)
            raise EngineUnavailable(f"the Dask scheduler at {self._settings.address} is away: {error}") from error
        except Exception as error:
            raise EngineUnavailable(f"a Dask worker cannot make calls: {type(error).__name__}: {error}") from error
        finally:
            if future is not None:
                future.release()

    @staticmethod
    async def _result(client: Client, future: "Future[list[bytes | AnalysisError]]") -> Sequence[bytes | AnalysisError]:
        """Raises EngineUnavailable once there has been no worker for a while, beside what Dask raises."""
        result = asyncio.ensure_future(future.result())
        try:
            while not (await asyncio.wait([result], timeout=_PATIENCE))[0]:
                if not (await client.scheduler.identity(n_workers=1))["workers"]:
                    raise EngineUnavailable("the Dask cluster has no workers")
            answers: Sequence[bytes | AnalysisError] = await result
            return answers
        finally:
            result.cancel()

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or self._client.status != "running":
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Client:
        files = self._settings.tls_config
        security = None
        if files is not None:
            security = Security(
                require_encryption=True,
                tls_ca_file=str(files.ca_file),
                tls_client_cert=str(files.cert_file),
                tls_client_key=str(files.key_file),
            )
        dask.config.set({"distributed.admin.large-graph-warning-threshold": _SERIES})
        client = Client(
            self._settings.address,
            asynchronous=True,
            security=security,
            set_as_default=False,
            timeout=_CONNECT,
            name="afdp",
        )
        try:
            await client
        except BaseException:
            self._apart(client.close())
            raise
        return client

    def _forget(self, client: Client) -> None:
        if client is self._client:
            self._client = None
        self._apart(client.close())

    async def _disconnect(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _abandon(self, waiting: _Waiting) -> None:
        """Take a call back, wherever it is."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            return
        self._apart(self._end([waiting.call.id]))
        for task, batch in self._batches.items():
            if waiting in batch and all(each.answer.done() for each in batch):
                task.cancel()

    async def _end(self, calls: Sequence[str]) -> None:
        if calls and self._client is not None and self._client.status == "running":
            await self._client.run(remote.end, calls, on_error="ignore")

    def _apart(self, work: Coroutine[Any, Any, object]) -> None:
        """Nobody waits for it."""
        task = asyncio.ensure_future(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)
