"""Equal parameters give equal bytes."""

import os

import cv2
import torch


def set_determinism(seed: int, threads: int) -> None:
    """Seed torch, and make it and OpenCV compute in a fixed order.

    Sums depend on the number of threads, so that is a parameter rather than whatever the machine offers. Call this
    before the first CUDA operation.

    Args:
        seed: seed of the initial weights.
        threads: threads of torch's CPU operations.
    """
    # cuBLAS reads this at start-up; without it, deterministic mode refuses matrix products.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    # All our operations have a deterministic form on GPUs according to torch (AdaptiveAvgPool2d and NLLLoss, which have
    # none, are avoided). Should that change with a version of CUDA, a warning is better than no training.
    # use_deterministic_algorithms does the same, but spends two seconds on importing the compiler.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # Filling fresh memory with NaN exposes reads of uninitialised memory, but slows every operation down.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads)
    # For images this small, a thread pool per process would only compete with the other jobs.
    cv2.setNumThreads(1)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int, part: int, masks: torch.Generator) -> None:
    """Seed one forward pass, so that dropout does not depend on what ran before.

    Args:
        seed: seed of the run.
        step: number of the optimiser step.
        part: number of the part of the batch, counted over all processes.
        masks: gets the seed of part 0, for masks that are drawn for the whole batch (:mod:`etc.models.dropout`).
    """
    torch.manual_seed(_mixed(seed, step, part))
    masks.manual_seed(_mixed(seed, step, 0))


def _mixed(seed: int, step: int, part: int) -> int:
    # Odd multipliers spread neighbouring steps and parts over the 64 bits.
    mixed = seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + part * 0x94D049BB133111EB
    return mixed & 0x7FFF_FFFF_FFFF_FFFF
