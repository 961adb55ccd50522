"""Flow files in and out: stored flow as ``.flo`` or KITTI PNG for other programs, and theirs packed into the store.

Outside, a clip is a folder ``<clip>/`` of files ``<source>_<target>.flo`` (or ``.png``), or files with the clip's name
in front; see ``etc.flow.files``.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from etc.core.errors import UserError, many
from etc.core.outputs import check_files, check_folder, together
from etc.core.progress import track
from etc.flow.files import FlowFiles, files_by_pair, named_by_frame
from etc.flow.io import UNKNOWN, write_flo, write_kitti_png
from etc.flow.store import DEFAULT_STEP, FlowWriter, StoredFlow, content_key
from etc.sources.clip_names import first_names

# Name of the method in packed files: their mask says where flow is known, not what is visible.
IMPORTED = "import"
FORMATS = {"flo": ".flo", "kitti": ".png"}
# The largest vector component that a KITTI PNG holds, in pixels.
_KITTI_LIMIT = 511.98


def export(source: Path, to: Path, kind: str) -> str:
    """Write every pair of one or many flow files below ``to``; return the closing line.

    Vectors that had saturated in the store become unknown: 1e10 in a ``.flo`` file, not valid in a KITTI PNG. A KITTI
    PNG also marks pixels that are not visible, and vectors beyond its range of 512 pixels, as not valid.

    Args:
        source: ``<clip>.arrow``, or a folder of them.
        to: folder that gets ``<clip>/<source>_<target>`` with six digits each.
        kind: ``flo`` or ``kitti``.

    Raises:
        UserError: no flow file is found, one is damaged, ``to`` cannot be written, or holds a file in the way that was
            not made by this function. Nothing is written then.
    """
    if kind not in FORMATS:
        raise UserError(f"unknown flow format {kind!r}: choose one of {', '.join(FORMATS)}")
    paths = sorted(source.glob("*.arrow")) if source.is_dir() else [source]
    if not paths:
        raise UserError(f"{source}: no flow file (*.arrow) in this folder; give data/<data set>/flow/<purpose>")
    readers = [(path.stem, StoredFlow(path)) for path in paths]
    pairs = {
        f"{clip}/{start:06}_{end:06}{FORMATS[kind]}": (reader, start, end)
        for clip, reader in readers
        for start, end in reader.pairs
    }
    check_folder(to, pairs, [source])
    with together(to):
        for name, (reader, start, end) in track(pairs.items(), len(pairs), f"export {kind}"):
            flow, visible = reader.read(start, end)
            size = np.abs(flow).max(axis=2)
            if kind == "flo":
                flow[size >= reader.limit] = UNKNOWN
                write_flo(to / name, flow)
            else:
                valid = size < min(reader.limit, _KITTI_LIMIT)
                write_kitti_png(to / name, flow, valid if visible is None else valid & visible)
    return f"flow of {many(len(pairs), 'pair')} in {many(len(readers), 'clip')} in {to}"


def pack(source: Path, to: Path, step: float = DEFAULT_STEP, scale: int = 1) -> str:
    """Pack folders of ``.flo`` files or KITTI PNGs into flow files; return the closing line.

    The visibility of a pair is where its file knows the flow; it is left open for files that know all of it.

    Args:
        source: folder of the files of one or several clips, or a folder of such folders.
        to: ``<clip>.arrow`` for one clip; a folder, which gets ``<clip>.arrow``, for several.
        step, scale: see ``FlowWriter``.

    Raises:
        UserError: no flow file is found, one is named by a single frame, is damaged or differs in size from the rest of
            its clip, the flow cannot be stored with this step and scale, or a file in the way was not made by this
            function. Nothing is written then.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; give the one that holds <source>_<target>.flo (or .png)")
    found = files_by_pair(source.iterdir())
    if len(found) == 1 and to.suffix != ".arrow":
        raise UserError(f"{to}: one clip makes one flow file; name it <clip>.arrow")
    if not found:
        folders = [entry for entry in source.iterdir() if entry.is_dir()]
        found = files_by_pair(file for folder in folders for file in folder.iterdir())
    if file := named_by_frame(found):
        raise UserError(
            f"{file}: its name seems to give one frame, but flow has the frame that it starts from and the one that it "
            "leads to; name it [<clip>_]<source>_<target>"
        )
    if len(found) > 1 and to.suffix == ".arrow":
        raise UserError(f"{to}: {source} holds the clips {first_names(found)}; name a folder, not a flow file")
    clips = {
        to if to.suffix == ".arrow" else to / f"{clip}.arrow": (next(iter(files.values())).parent, files)
        for clip, files in found.items()
    }
    if not clips:
        raise UserError(f"{source}: no flow here: neither <source>_<target>.flo (or .png) nor folders of such files")
    if to.is_file() and to not in clips:
        raise UserError(f"{to}: is a file; several clips need a folder")
    check_files(dict.fromkeys(clips, _is_import), [source])
    with together():
        for path, (folder, files) in track(clips.items(), len(clips), "import"):
            _pack_clip(path, FlowFiles(files, folder, path.stem), step, scale)
    pairs = sum(len(files) for _, files in clips.values())
    return f"flow of {many(pairs, 'pair')} in {many(len(clips), 'clip')} in {to}"


def _is_import(path: Path) -> bool:
    return StoredFlow(path).method == IMPORTED


def _pack_clip(path: Path, clip: FlowFiles, step: float, scale: int) -> None:
    pairs = list(clip.files)
    parameters = {"pairs": [f"{source}_{target}" for source, target in pairs], "step": step, "scale": scale}
    key = content_key(clip.checksums(pairs), IMPORTED, parameters, "1")
    clip = replace(clip, shape=clip.read(*pairs[0])[1].shape)
    with FlowWriter(path, key, clip.shape, step, IMPORTED, scale) as writer:
        for source, target in pairs:
            flow, known = clip.read(source, target)
            writer.write(source, target, flow, None if known.all() else known)
