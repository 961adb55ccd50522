"""NumPy files, whose header is compared with their length before any memory is taken."""

import math
import zipfile
import zlib
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from etc.core.errors import first_line

MAGIC = npy.MAGIC_PREFIX
MOST_BYTES = 16 << 30
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """The header of a ``.npy`` file; ``start`` is where the values begin, in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int


def header(data: bytes) -> Header:
    """The header of the content of a ``.npy`` file.

    Raises:
        ValueError: it is not one, holds Python objects, or its length is not that of its shape.
    """
    stream = BytesIO(data)
    version = npy.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"format version {version}")
    try:
        shape, fortran, dtype = _READERS[version](stream)
    except Exception as error:  # NumPy has Python parse it, which raises whatever it likes
        raise ValueError(f"a damaged header: {first_line(error)}") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    found, expected = len(data) - stream.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or found != expected:
        raise ValueError(f"its shape {shape} takes {expected} bytes, but {found} follow")
    return Header(shape, fortran, dtype, stream.tell())


def load(data: bytes) -> np.ndarray:
    """The array of the content of a ``.npy`` file, which cannot be written to.

    Raises:
        ValueError: as for :func:`header`.
    """
    head = header(data)
    flat = np.frombuffer(data, head.dtype, offset=head.start)
    return flat.reshape(head.shape[::-1]).T if head.fortran else flat.reshape(head.shape)


def load_archive(data: bytes) -> np.ndarray:
    """The only array of the content of a ``.npz`` file.

    Raises:
        ValueError: it is not such a file, is damaged, or holds more or fewer arrays than one.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise ValueError(f"it holds {len(members)} arrays; one is expected")
            if members[0].file_size > MOST_BYTES:
                raise ValueError(f"it would take {members[0].file_size:,} bytes")
            return load(archive.read(members[0]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from error
