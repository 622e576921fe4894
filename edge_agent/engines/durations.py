"""How long each phoneme becomes: the output that Piper's voice files compute and keep to themselves.

The frames of each phoneme are the output of the only `Ceil` node of the network (VITS' duration predictor, Kim et al.
2021, section 2.2.2). Naming that tensor as an output of the graph makes it available. In protocol buffers two copies
of a message field are merged and their repeated fields joined ("Last One Wins" in the encoding's description), so
some thirty bytes appended to the file are enough, and no ONNX toolkit is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge_agent.errors import EngineError

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_OUTPUT = 1, 12
_NODE_OUTPUT, _NODE_TYPE = 2, 4
_NAME = 1

_LENGTH_DELIMITED = 2  # wire type


@contextmanager
def with_durations(path: Path) -> Iterator[Path]:
    """A path, valid inside the block, under which the voice has its durations as last output.

    The copy is a memfd: onnxruntime reads it as a file, while it would keep bytes for as long as the session lives.
    A voice without a single `Ceil` node is copied as it is.

    Raises:
        EngineError: `onnx.missing` or `onnx.load`.
    """
    try:
        size = path.stat().st_size
        addition = _addition(np.memmap(path, dtype=np.uint8, mode="r").data)
        copy = os.memfd_create("voice", os.MFD_CLOEXEC)
    except OSError as error:
        raise EngineError(
            "onnx.missing",
            f"The voice {path} cannot be read ({error.strerror}); run `edge-agent models pull` to fetch the models.",
        ) from error
    except (IndexError, KeyError, ValueError) as error:
        raise EngineError(
            "onnx.load", f"{path} is not an ONNX model; run `edge-agent models verify`, then pull it again."
        ) from error
    try:
        with path.open("rb") as file:
            sent = 0
            while sent < size:
                sent += os.sendfile(copy, file.fileno(), sent, size - sent) or size
        os.write(copy, addition)
        yield Path(f"/proc/self/fd/{copy}")
    finally:
        os.close(copy)


def _addition(model: memoryview) -> bytes:
    """The bytes that make the durations an output; none when they are one, or cannot be told."""
    graph = next((value for field, value in _fields(model) if field == _MODEL_GRAPH), None)
    if graph is None:
        raise ValueError("no graph")
    parts = [(field, bytes(value)) for field, value in _fields(graph) if field in (_GRAPH_NODE, _GRAPH_OUTPUT)]
    nodes = [dict(_fields(memoryview(value))) for field, value in parts if field == _GRAPH_NODE and b"Ceil" in value]
    outputs = {bytes(dict(_fields(memoryview(value)))[_NAME]) for field, value in parts if field == _GRAPH_OUTPUT}
    names = {bytes(node[_NODE_OUTPUT]) for node in nodes if bytes(node[_NODE_TYPE]) == b"Ceil"}
    if len(names) != 1 or names <= outputs:
        return b""
    return _message(_MODEL_GRAPH, _message(_GRAPH_OUTPUT, _message(_NAME, names.pop())))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message: (number, value); the others are passed over.

    Raises:
        IndexError: the message ends inside a field.
        ValueError: a wire type that protocol buffers do not have.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 2:  # length-delimited
                length, at = _varint(message, at)
                if at + length > len(message):
                    raise IndexError("the message ends inside a field")
                yield key >> 3, message[at : at + length]
                at += length
            case 0:  # varint
                _, at = _varint(message, at)
            case 1:  # 64 bits
                at += 8
            case 5:  # 32 bits
                at += 4
            case kind:
                raise ValueError(f"wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at `at` and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(field: int, payload: bytes) -> bytes:
    """A length-delimited field shorter than 16 KiB."""
    size = len(payload)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([field << 3 | _LENGTH_DELIMITED]) + length + payload
