"""The work folder of a training: its lock, its checkpoint, and a record of its last result.

The folder is not an output of the pipeline, since both DVC and Snakemake delete outputs before a job starts. It holds

- ``lock``: held while a process trains;
- ``checkpoint.pt``: the newest state;
- ``aside.pt``: the last checkpoint of another configuration, resumed when that configuration returns;
- ``unreadable.pt``: the last checkpoint that was damaged or of another format;
- ``finished.json``: what the last training wrote, for a process that waited for it.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from etc.core.errors import UserError, first_line
from etc.core.files import atomic, check_archive, read_json, write_json
from etc.models.memory import is_out_of_memory
from etc.training.fingerprint import Fingerprint, differing, digest, hash_files

NAMED_KEYS = 4


class WorkFolder:
    """Checkpoints of one training, e.g. in ``work/street/teacher``."""

    def __init__(self, path: Path, fingerprint: Fingerprint) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint
        self._checkpoint = self.path / "checkpoint.pt"
        self._aside = self.path / "aside.pt"
        self._finished = self.path / "finished.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the folder; waits, with one line on stderr, while another process holds it.

        The lock is released when the process that holds it ends, in whatever way. A killed pipeline may have left a
        training running; the next training waits for it here and continues from its state.

        Yields:
            Whether it had to wait.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as stream:
            waited = False
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = True
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                _notice(f"{self.path}: process {holder} is training here; waiting for it to end or be killed.")
                fcntl.flock(stream, fcntl.LOCK_EX)
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            yield waited

    def take_up(self) -> None:
        """Make the checkpoint of this configuration the current one, if there is one.

        A checkpoint of another configuration is set aside, with a line on stderr that names the differing keys, and so
        is one that cannot be read.
        Half-written files of a killed process are removed. Call it under the lock, in one process.
        """
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink()
        found = self._read_fingerprint(self._checkpoint)
        if found is not None and found != self.fingerprint:
            returning = self._read_fingerprint(self._aside) == self.fingerprint
            spare = self.path / "swap.pt"
            if returning:
                os.replace(self._aside, spare)
            os.replace(self._checkpoint, self._aside)
            if returning:
                os.replace(spare, self._checkpoint)
            then = "resuming the one of this configuration" if returning else "starting from the beginning"
            _notice(f"{self._checkpoint} belongs to another configuration ({_names(found, self.fingerprint)}): {then}.")
        elif found is None and self._read_fingerprint(self._aside) == self.fingerprint:
            os.replace(self._aside, self._checkpoint)

    def load(self) -> dict[str, Any] | None:
        """The state of the current checkpoint, tensors on the CPU; None when there is none."""
        if not self._checkpoint.exists():
            return None
        return torch.load(self._checkpoint, map_location="cpu", weights_only=True)["state"]

    def save(self, state: dict[str, Any]) -> None:
        """Replace the current checkpoint. Killed at any moment, either the old or the new one is there.

        Raises:
            UserError: the disk is full; the old checkpoint stays.
        """
        with atomic(self._checkpoint) as stream:
            torch.save({"fingerprint": self.fingerprint, "state": state}, stream)

    def finish(self, outputs: list[Path]) -> None:
        """Record what was written, and delete the checkpoint. Call it when all outputs are in place."""
        note = {
            "configuration": digest(self.fingerprint),
            "outputs": {str(path): hash_files([path]) for path in outputs},
        }
        write_json(self._finished, note)
        self._checkpoint.unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Whether the last training here was of this configuration and its outputs are still as it left them."""
        if not self._finished.exists():
            return False
        try:
            note = read_json(self._finished)
        except UserError:
            return False
        if not isinstance(note, dict) or not isinstance(note.get("outputs"), dict):
            return False
        return note.get("configuration") == digest(self.fingerprint) and all(
            Path(path).is_file() and hash_files([Path(path)]) == content for path, content in note["outputs"].items()
        )

    def _read_fingerprint(self, path: Path) -> Fingerprint | None:
        if not path.exists():
            return None
        try:
            check_archive(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found, state = content["fingerprint"], content["state"]
            if not isinstance(state, dict) or not all(isinstance(key, str) for key in dict(found)):
                raise ValueError("another format")
            return found
        except Exception as error:  # a damaged archive or pickle can raise anything
            if isinstance(error, PermissionError) or is_out_of_memory(error):
                raise
            aside = path.with_name("unreadable.pt")
            os.replace(path, aside)
            _notice(f"{path} cannot be read ({first_line(error)}); set aside as {aside.name}.")
            return None


def _names(one: Fingerprint, other: Fingerprint) -> str:
    keys = differing(one, other)
    rest = f" and {len(keys) - NAMED_KEYS} more" if len(keys) > NAMED_KEYS else ""
    return f"differs in {', '.join(keys[:NAMED_KEYS])}{rest}"


def _notice(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
