"""What a user sees when a label is wrong or memory is short, with the data loaded here or by workers."""

import errno
import resource
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from etc.core import files
from etc.core.errors import UserError
from etc.core.params_file import load_block
from etc.dataset import manifest
from etc.params import student as params
from etc.stages import student
from etc.training.session import memory_advice
from tests.training import toy

LABEL = "data/street/root/labels/street_000001_000002.png"


def run(scheme="baseline"):
    return student.run("street", "pspnet18", scheme, 0)


def spoil_label(value):
    label = cv2.imread(LABEL, cv2.IMREAD_UNCHANGED)
    label[5, 7] = value
    cv2.imwrite(LABEL, label)
    # As if the label had been like this when the manifest was written.
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path)
    spoilt = frames["label"].map(lambda name: LABEL.endswith(name))
    frames.loc[spoilt, "label_checksum"] = manifest.checksum(Path(LABEL).read_bytes())
    manifest.write(path, frames, manifest.read_label_set(path))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_label_id_outside_the_class_set_names_file_and_id(project, workers):
    spoil_label(77)
    toy.write_params(project, "student", {"sampling.pseudo_share": 0.0, "training.machine.workers": workers})
    with pytest.raises(UserError) as error:
        run()
    assert str(error.value).startswith(f"{LABEL}: id 77 belongs to no class and is not ignored in label set 'street'")
    assert "\n" not in str(error.value)


def test_void_ids_train_as_ignored(project):
    spoil_label(4)
    run()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (cv2.imencode(".png", np.full((32, 64), 9, np.uint8))[1].tobytes(), "train id 9, but there are 9 classes"),
        (cv2.imencode(".png", np.zeros((16, 64), np.uint8))[1].tobytes(), "the label is 16x64, the frame 32x64"),
        (b"no picture", "the label is no PNG"),
        (b"", "the label is no PNG"),
    ],
)
def test_wrong_pseudo_labels_name_clip_and_frame(project, label, message):
    path = Path("data/street/pseudo_labels/0/labels.parquet")
    rows = [row | {"label": label} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    with pytest.raises(UserError, match=rf"pseudo_labels/0/labels.parquet: clip street_00000\d, frame \d: {message}"):
        run()


@pytest.mark.parametrize("content", [b"", b"no Parquet", None])
def test_pseudo_labels_that_cannot_be_read_are_named(project, content):
    path = Path("data/street/pseudo_labels/0/labels.parquet")
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(
        UserError, match=r"pseudo_labels/0/labels.parquet: not readable .*; make the pseudo-labels again$"
    ) as error:
        run()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_names_the_parameters_and_keeps_the_checkpoint(project, monkeypatch, error):
    from etc.training import loop

    def short(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise error
        return plain(*arguments)

    plain, calls = loop._step, []
    monkeypatch.setattr(loop, "_step", short)
    with pytest.raises(UserError) as raised:
        run()
    assert "raise 'training.accumulate' from 1 to 2, or lower 'training.batch' (4) or" in str(raised.value)
    assert "'training.augment.crop' (32x48)" in str(raised.value) and "\n" not in str(raised.value)
    assert torch.load("work/street/pspnet18-baseline-0/checkpoint.pt")["state"]["step"] == 2


@pytest.mark.parametrize("moment", ["registry.build", "Samples", "fingerprint", "weights.save"])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_before_and_after_the_steps_gives_the_same_advice(project, monkeypatch, moment, error):
    def short(*arguments, **keywords):
        raise error

    monkeypatch.setattr(f"etc.training.session.{moment}", short)
    with pytest.raises(UserError, match="too little memory: raise 'training.accumulate' from 1 to 2, or lower"):
        run()


def test_a_limited_address_space_gives_the_advice(project):
    """As under ``ulimit -v``: the weights of a wide network do not fit into what is left."""
    toy.write_params(project, "student", {"widths": {"pspnet18": 256}})
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, limits[1]))
    try:
        with pytest.raises(UserError, match="the machine has too little memory: raise 'training.accumulate'"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "timing.json", "pspnet18-baseline-0.parquet"])
def test_a_disk_that_fills_up_at_the_end_leaves_no_output_and_the_checkpoint(project, monkeypatch, name):
    plain = files.os.fdopen

    class Full:
        """A file of the disk's last bytes."""

        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, attribute):
            return getattr(self.stream, attribute)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def fdopen(descriptor, *arguments, **keywords):
        stream = plain(descriptor, *arguments, **keywords)
        return Full(stream) if Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith(f".{name}.") else stream

    line = f"{name}: the disk is full: free some space and run again$"
    with monkeypatch.context() as patched, pytest.raises(UserError, match=line):
        patched.setattr(files.os, "fdopen", fdopen)
        run()
    assert not list(Path("data/street/students").rglob("*.*")) and not list(Path("data/street").glob("history/*"))
    assert torch.load("work/street/pspnet18-baseline-0/checkpoint.pt")["state"]["step"] == 6
    run()
    assert len(list(Path("data/street/students/pspnet18-baseline-0").iterdir())) == 3


def test_accumulation_is_advised_only_where_each_part_keeps_two_samples():
    training = load_block(toy.ROOT / "params/student.yaml", "street", params.StudentParams).training

    def advice(batch, accumulate, processes):
        return memory_advice(training.model_copy(update={"batch": batch, "accumulate": accumulate}), processes)

    assert advice(8, 1, 1).startswith("raise 'training.accumulate' from 1 to 2")
    assert advice(8, 2, 1).startswith("raise 'training.accumulate' from 2 to 4")
    assert advice(12, 2, 2).startswith("raise 'training.accumulate' from 2 to 3")
    assert all(advice(*case).startswith("lower 'training.batch'") for case in ((8, 4, 1), (4, 1, 2), (2, 1, 1)))
