"""Samples of any age into a real server: Prometheus remote write 1.0, protobuf and snappy."""

import struct
from collections.abc import Iterable, Iterator

import cramjam
import numpy as np
import urllib3

from afdp_exporter.model import Series

_SAMPLES = 100_000  # in one request
_EARLIEST, _LATEST = 2**35, 2**42  # ms whose varint has six bytes: 1971 to 2109
_SAMPLE = np.dtype(
    [("tag", "u1"), ("size", "u1"), ("value_tag", "u1"), ("value", "<f8"), ("time_tag", "u1"), ("time", "6u1")]
)


def remote_write(http: urllib3.PoolManager, url: str, series: Iterable[Series]) -> None:
    """Write every sample that is not NaN."""
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    for message in _messages(series):
        body = bytes(cramjam.snappy.compress_raw(message))
        answer = http.request("POST", url, body=body, headers=headers)
        assert answer.status // 100 == 2, answer.data.decode()


def _messages(series: Iterable[Series]) -> Iterator[bytes]:
    message, samples = bytearray(), 0
    for each in series:
        labels = b"".join(
            _label(name, value) for name, value in sorted({**each.labels, "__name__": each.metric}.items())
        )
        there = ~np.isnan(each.values)
        times, values = np.round(each.times[there] * 1000).astype(np.int64), each.values[there]
        for first in range(0, len(times), _SAMPLES):
            part = slice(first, first + _SAMPLES)
            message += _field(1, labels + _samples(times[part], values[part]))
            samples += len(times[part])
            if samples >= _SAMPLES:
                yield bytes(message)
                message, samples = bytearray(), 0
    if message:
        yield bytes(message)


def _label(name: str, value: str) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, value.encode()))


def _samples(times: np.ndarray, values: np.ndarray) -> bytes:
    assert ((times >= _EARLIEST) & (times < _LATEST)).all()
    samples = np.zeros(len(times), _SAMPLE)
    samples["tag"], samples["size"] = 0x12, _SAMPLE.itemsize - 2
    samples["value_tag"], samples["value"] = 0x09, values
    samples["time_tag"] = 0x10
    septets = (times[:, None] >> np.arange(0, 42, 7)) & 0x7F
    samples["time"] = septets | np.array([0x80] * 5 + [0])
    return samples.tobytes()


def _field(number: int, content: bytes) -> bytes:
    return struct.pack("B", number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
