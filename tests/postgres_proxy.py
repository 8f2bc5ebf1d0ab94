"""A proxy in front of PostgreSQL that cuts a connection between a commit and its answer."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PIECE = 65536


@dataclass
class Proxy:
    """Listens on `port`; once `cut` is set, the next commit is passed on, and its connection ends before the answer."""

    target: int
    port: int = 0
    cut: threading.Event = field(default_factory=threading.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, ready: threading.Event, ended: asyncio.Event) -> None:
        """Pass on until `ended`."""
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # until the transports have ended

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        committing = False

        async def ask() -> None:
            nonlocal committing
            while data := await reader.read(_PIECE):
                there_writer.write(data)
                if self.cut.is_set() and b"COMMIT\x00" in data:
                    self.cut.clear()
                    committing = True
                await there_writer.drain()

        async def answer() -> None:
            while (data := await there_reader.read(_PIECE)) and not committing:
                writer.write(data)
                await writer.drain()

        both = [asyncio.create_task(ask()), asyncio.create_task(answer())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            for each in (writer, there_writer):
                each.transport.abort()
            await asyncio.gather(*both, return_exceptions=True)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """In front of this port of the machine, in a thread of its own."""
    made, ready = Proxy(target), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(made.run(ready, ended)), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield made
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
