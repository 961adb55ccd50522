"""Trainings in processes of their own, forked from one clean process that has the slow imports behind it."""

import multiprocessing
import os
import signal
from pathlib import Path

import torch

from etc.stages import student
from etc.training import checkpoint, loop

ARGUMENTS = ("street", "pspnet18", "etc", 0)
CONTEXT = multiprocessing.get_context("forkserver")
# Installed packages only: the clean process does not have the project on its path yet.
CONTEXT.set_forkserver_preload(
    [
        "torch",
        "torch._dynamo",
        "torch.distributed.nn",
        "accelerate",
        "cv2",
        "pandas",
        "pyarrow.parquet",
        "safetensors.torch",
    ]
)


def start(function, *arguments) -> multiprocessing.Process:
    """Call ``function(current folder, *arguments)`` in a new process."""
    process = CONTEXT.Process(target=function, args=(str(Path.cwd()), *arguments))
    process.start()
    return process


def train_and_die(folder: str, moment: str, left: int) -> None:
    """Train a student, but end by SIGKILL at a moment of the given name, when it comes for the ``left``-th time."""
    os.chdir(folder)

    def here(name: str) -> None:
        nonlocal left
        left -= name == moment
        if name == moment and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    plain_seed, plain_save, plain_finish = loop.seed_step, torch.save, checkpoint.WorkFolder.finish

    def seed_step(*arguments):
        here("step")
        plain_seed(*arguments)

    def save(state, stream):
        stream.write(b"half of a checkpoint")
        stream.flush()
        here("checkpoint")
        stream.seek(0)
        stream.truncate()
        plain_save(state, stream)

    def finish(*arguments):
        here("finish")
        plain_finish(*arguments)

    loop.seed_step, torch.save, checkpoint.WorkFolder.finish = seed_step, save, finish
    student.run(*ARGUMENTS)


def train_together(folder: str, scheme: str, rank: int, processes: int, port: int) -> None:
    """Train a student as one of several processes."""
    os.chdir(folder)
    # With ``cpu`` accelerate's barrier still looks for a GPU for each process.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if processes > 1:
        os.environ.update(
            WORLD_SIZE=str(processes),
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            ACCELERATE_USE_CPU="true",
        )
    student.run("street", "pspnet18", scheme, 0)
