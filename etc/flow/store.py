"""One Arrow IPC file of compressed flow per clip, read pair by pair.

Each record batch holds one pair, compressed by :mod:`etc.flow.packing`. A checksum covers each row and the file's
header. The last batch is a seal over all rows, so that a damaged table of contents cannot hide a pair.
Equal input gives equal bytes. Why Arrow, and what was measured: docs/decisions/flow-store.md.

Components beyond the int16 range (unknown vectors of a ``.flo`` file are) saturate. That is harmless: the writer
refuses a step at which a saturated vector could still end inside the frame. At a reduced size such vectors would
spill over into their neighbours and are refused.
"""

import contextlib
import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import pyarrow as pa

from etc.core.errors import UserError, first_line, many
from etc.core.files import atomic
from etc.core.regular import refuse_special
from etc.flow.packing import pack_flow, pack_mask, unpack_flow, unpack_mask
from etc.flow.precision import LIMIT, holds
from etc.flow.warp import check_flow

FORMAT = 2
DEFAULT_STEP = 1 / 16
SCALES = (1, 2, 4)
_LAST_FRAME = 2**31 - 1
_COLUMNS = [
    ("source", pa.int32()),
    ("target", pa.int32()),
    ("flow", pa.binary()),
    ("visible", pa.binary()),
    ("crc", pa.uint32()),
]
# Frame numbers of the seal, the last row; it has no flow.
_SEAL = (-1, -1)
# How Arrow's errors end, which have no number, when the system has no memory for a file or no room for a thread.
_NO_MEMORY = (os.strerror(errno.ENOMEM), os.strerror(errno.EAGAIN))


class FlowReader(Protocol):
    """Flow between the frames of one clip.

    There are ``StoredFlow`` (this project's files), ``etc.flow.files.FlowFiles`` (``.flo`` files and KITTI PNGs),
    ``etc.flow.estimated.EstimatedFlow`` (computed from the frames), and ``etc.measure.clip_flow.ClipFlow``, which wraps
    one of them.
    """

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Flow of one pair.

        Args:
            source: frame number t.
            target: frame number s.

        Returns:
            F_{t->s} on the grid of frame t, float32 (H, W, 2), pixels; where it counts, bool (H, W): what is visible,
            or, in flow made elsewhere, what is known; None if there is no mask.

        Raises:
            UserError: there is no flow of this pair, or it is damaged.
        """
        ...

    def describe(self, source: int, target: int) -> str:
        """What the flow of a pair comes from, for messages: a file, or a method and its frame."""
        ...


def content_key(checksums: Iterable[str], method: str, parameters: dict[str, Any], version: str) -> str:
    """Key of a flow file: what it was made from and how, nothing else (no path, no date).

    Args:
        checksums: hex checksum of each frame's file, in frame order.
        method: name of the flow method.
        parameters: its parameters, anything JSON can write.
        version: version of the code that computes the flow.

    Returns:
        32 hex digits.
    """
    content = [FORMAT, list(checksums), method, parameters, version]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def content_hash(paths: Iterable[Path]) -> str:
    """Hash of the content keys of flow files, 32 hex digits; it changes with what they were made from.

    Raises:
        UserError: a file is missing or damaged.
    """
    keys = [f"{path.name} {StoredFlow(path).key}" for path in paths]
    return hashlib.blake2b("\n".join(keys).encode(), digest_size=16).hexdigest()


class FlowWriter:
    """Writes the flow file of a clip; a context manager. The file appears only when the block ends without error.

    Args:
        path: the file, ``<clip>.arrow``.
        key: see ``content_key``.
        shape: (H, W) of the frames.
        step: precision in pixels of the stored flow.
        method: name of the flow method, for readers of the file.
        scale: 1, 2 or 4: the flow is reduced to 1/scale of the frame's height and width by area averages (still in
            pixels of the frame) and enlarged bilinearly on reading. Visibility is kept at full size.

    Raises:
        UserError: the step is too fine for frames of this size, or there is no such scale.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        key: str,
        shape: tuple[int, int],
        step: float = DEFAULT_STEP,
        method: str = "",
        scale: int = 1,
    ):
        if scale not in SCALES:
            raise UserError(f"{path}: flow cannot be stored at 1/{scale} of its size: use one of {SCALES}")
        if step <= 0 or not holds(step, max(shape)):
            raise UserError(
                f"{path}: a step of {step} px holds vectors up to {LIMIT * step:.1f} px only, "
                f"the frame is {shape[1]}x{shape[0]}: use a coarser step"
            )
        self.path, self.shape, self.step, self.scale = path, tuple(shape), float(step), scale
        self._header = {
            "format": str(FORMAT),
            "key": key,
            "shape": f"{shape[0]} {shape[1]}",
            "step": repr(float(step)),
            "scale": str(scale),
            "method": method,
        }
        self._schema = pa.schema(_COLUMNS, metadata=self._header)
        self._checksums: dict[tuple[int, int], int] = {}

    def __enter__(self) -> "FlowWriter":
        self._stack = contextlib.ExitStack()
        stream = self._stack.enter_context(atomic(self.path))
        self._file = self._stack.enter_context(pa.ipc.new_file(stream, self._schema))
        return self

    def __exit__(self, kind: type | None, *error: Any) -> bool | None:
        if kind is None:
            self._append(*_SEAL, None, None, _seal(self._header, self._checksums))
        return self._stack.__exit__(kind, *error)

    def write(self, source: int, target: int, flow: np.ndarray, visible: np.ndarray | None = None) -> None:
        """Append one pair.

        Args:
            source: frame number t, from 0.
            target: frame number s, from 0.
            flow: F_{t->s}, float32 (H, W, 2), pixels.
            visible: bool (H, W) on frame t's grid; None where it is not known.

        Raises:
            UserError: a frame number out of range, wrong shape, NaN or infinite values, a pair that was already
                written, or a vector beyond the int16 range when the flow is reduced.
        """
        name = f"{self.path}: pair {source} to {target}"
        if (source, target) in self._checksums:
            raise UserError(f"{name} is written twice")
        if not 0 <= min(source, target) <= max(source, target) <= _LAST_FRAME:
            raise UserError(f"{name}: frame numbers lie between 0 and {_LAST_FRAME}")
        if flow.shape[:2] != self.shape or (visible is not None and visible.shape != self.shape):
            raise UserError(f"{name}: flow {flow.shape} and visibility must have the frame's size {self.shape}")
        try:
            check_flow(flow)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        if self.scale > 1:
            if (largest := float(np.abs(flow).max())) > LIMIT * self.step:
                raise UserError(
                    f"{name}: a component of {largest:.6g} px (an unknown vector?) cannot be kept at 1/{self.scale} "
                    "of the frame's size: store at scale 1"
                )
            flow = _resize(flow, _reduced(self.shape, self.scale), cv2.INTER_AREA)
        payload = pack_flow(flow, self.step)
        mask = None if visible is None else pack_mask(visible)
        crc = self._checksums[source, target] = _checksum(self._header, source, target, payload, mask)
        self._append(source, target, payload, mask, crc)

    def _append(self, *row: Any) -> None:
        arrays = [pa.array([value], kind) for value, (_, kind) in zip(row, _COLUMNS, strict=True)]
        self._file.write_batch(pa.record_batch(arrays, schema=self._schema))


class StoredFlow:
    """Random access to the pairs of a clip's flow file. Can be pickled (the copy opens the file again).

    Args:
        path: the file, ``<clip>.arrow``.
        key: when given, the key that the file must have.

    Attributes:
        pairs: the (source, target) frame numbers, in the order written.
        shape: (H, W). step: precision in pixels. scale: see ``FlowWriter``. method: name of the flow method.
        key: content key. limit: components of this size in pixels have saturated; such vectors leave the frame.

    Raises:
        UserError: the file is missing, damaged, of another format version, or made from other content.
    """

    def __init__(self, path: str | os.PathLike, key: str | None = None):
        self.path = path
        self._expected_key = key
        with self._readable():
            refuse_special(Path(path))
            self._file = pa.ipc.open_file(pa.memory_map(os.fspath(path)))
            header = {name.decode(): value.decode() for name, value in (self._file.schema.metadata or {}).items()}
            if header.get("format") != str(FORMAT):
                raise UserError(
                    f"{path}: flow format {header.get('format')}, this version reads {FORMAT}: "
                    "delete it and make the flow again"
                )
            self.key = header["key"]
            if key is not None and key != self.key:
                raise UserError(
                    f"{path}: made from other frames or by another method (key {self.key}, wanted {key}): "
                    "delete it and make the flow again"
                )
            if self._file.schema.remove_metadata() != pa.schema(_COLUMNS):
                raise UserError(f"{path}: not a flow file (its columns are {self._file.schema.names})")
            self._header = header
            height, width = header["shape"].split()
            self.shape = (int(height), int(width))
            self.step = float(header["step"])
            self.method = header["method"]
            self.limit = LIMIT * self.step
            self.scale = int(header["scale"])
            if self.scale not in SCALES:
                raise self._damaged(f"scale {self.scale}")
            rows = [self._row(index) for index in range(self._file.num_record_batches)]
            checksums = dict(rows[:-1])
            if not rows or rows[-1] != (_SEAL, _seal(header, checksums)):
                raise self._damaged("seal")
            self._index = {pair: index for index, pair in enumerate(checksums)}

    def __reduce__(self) -> tuple:
        return StoredFlow, (self.path, self._expected_key)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(self._index)

    def read(
        self, source: int, target: int, window: tuple[slice, slice] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Read one pair and check its integrity.

        Args:
            source: frame number t.
            target: frame number s.
            window: rows and columns to return, both with a start and an end inside the frame; None: all.

        Returns:
            F_{source->target}, float32 (H, W, 2), pixels; the mask that was stored, bool (H, W), or None. Of a window,
            (H, W) is its size, and the values are those that lie there in the whole.

        Raises:
            UserError: there is no such pair, or its data is damaged.
        """
        if (source, target) not in self._index:
            raise UserError(
                f"{self.path}: no flow from frame {source} to {target} (it has {many(len(self._index), 'pair')})"
            )
        with self._readable():
            batch = self._batch(self._index[source, target])
            payload, mask = (batch.column(column)[0].as_buffer() for column in (2, 3))
            if batch.column(4)[0].as_py() != _checksum(self._header, source, target, payload, mask):
                raise self._damaged("checksum")
            rows, columns = window or (slice(0, self.shape[0]), slice(0, self.shape[1]))
            flow = self._enlarged(payload, rows, columns)
            return flow, None if mask is None else unpack_mask(mask, self.shape, rows)[:, columns]

    def _enlarged(self, payload: pa.Buffer, rows: slice, columns: slice) -> np.ndarray:
        """The window of a pair's flow, from what is stored."""
        stored = _reduced(self.shape, self.scale)
        parts = [_stored(part, size, self.scale) for part, size in zip((rows, columns), self.shape, strict=True)]
        flow = unpack_flow(payload, stored, self.step, *parts)
        if self.scale == 1:
            return flow
        # Where the sides are no multiples, the whole is read: its grid is not that of any part.
        sizes = [
            (part.stop - part.start) * self.scale if size % self.scale == 0 else size
            for part, size in zip(parts, self.shape, strict=True)
        ]
        flow = _resize(flow, sizes, cv2.INTER_LINEAR)
        top, left = (part.start * self.scale for part in parts)
        return flow[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def describe(self, source: int, target: int) -> str:
        """See ``FlowReader``."""
        return os.fspath(self.path)

    def _row(self, index: int) -> tuple[tuple[int, int], int]:
        """The pair and the checksum in record batch ``index``; the compressed data is not touched."""
        source, target, crc = (self._batch(index).column(column)[0].as_py() for column in (0, 1, 4))
        return (source, target), crc

    def _batch(self, index: int) -> pa.RecordBatch:
        batch = self._file.get_batch(index)
        batch.validate(full=True)
        if batch.num_rows != 1:
            raise self._damaged(f"{batch.num_rows} rows in record batch {index}")
        return batch

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self.path}: damaged or truncated ({what}): delete it and make the flow again")

    @contextlib.contextmanager
    def _readable(self):
        """Turn Arrow's error about an unreadable file, or about memory, into one line for the user."""
        try:
            yield
        except FileNotFoundError as error:
            raise UserError(f"{self.path}: no such flow file; the stage that makes it has not run") from error
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            reason = first_line(error)
            if isinstance(error, MemoryError) or reason.endswith(_NO_MEMORY):
                raise UserError(
                    f"{self.path}: not enough memory to read it ({reason}): allow more (`ulimit -v`), or use fewer "
                    "workers"
                ) from error
            raise self._damaged(reason) from error


def _reduced(shape: tuple[int, int], scale: int) -> tuple[int, int]:
    return -(-shape[0] // scale), -(-shape[1] // scale)


def _resize(flow: np.ndarray, shape: tuple[int, int], interpolation: int) -> np.ndarray:
    return cv2.resize(flow, (shape[1], shape[0]), interpolation=interpolation)


def _stored(part: slice, size: int, scale: int) -> slice:
    """What is stored of rows or columns of a side of ``size`` pixels, and of those beside them, to interpolate from."""
    if scale == 1:
        return part
    if size % scale:
        return slice(0, -(-size // scale))
    return slice(max(0, part.start // scale - 1), min(size // scale, -(-part.stop // scale) + 1))


def _checksum(header: dict[str, str], source: int, target: int, payload: Any, mask: Any) -> int:
    crc = zlib.crc32(json.dumps([header, source, target, mask is None], sort_keys=True).encode())
    crc = zlib.crc32(payload, crc)
    return crc if mask is None else zlib.crc32(mask, crc)


def _seal(header: dict[str, str], checksums: dict[tuple[int, int], int]) -> int:
    """Checksum of the header and of every row's pair and checksum, in order."""
    rows = [[source, target, crc] for (source, target), crc in checksums.items()]
    return zlib.crc32(json.dumps([header, rows], sort_keys=True).encode())
