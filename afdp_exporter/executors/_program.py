"""A program that is run: without a shell, with a deadline, its output kept short."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from afdp_exporter.errors import ActionRefused, ActionUnknown

_KEPT = 2000  # characters of its output


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended."""

    status: int
    output: str
    error: str


async def run(command: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end. Raises ActionRefused where it cannot start, ActionUnknown where it takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else {**os.environ, **environment},
        )
    except OSError as error:
        raise ActionRefused(f"{command[0]} cannot be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ActionUnknown(f"{command[0]} did not end within {seconds:g} s, and may have done it") from None
    return Ran(status=process.returncode or 0, output=_text(output), error=_text(errors)[:_KEPT])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
