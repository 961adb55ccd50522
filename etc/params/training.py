"""Parameters that every training has: optimiser, schedule, batches, augmentation, machine."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from etc.core.params_file import FromList, Params, WholeNumber
from etc.models.names import LARGEST_WIDTH, NETWORKS, SMALLEST_WIDTH, explain, is_huggingface

Probability = Annotated[float, Field(ge=0, le=1)]
MotionForm = Literal["paper", "released_code"]
Schedule = Literal["polynomial", "cosine"]
TermName = Literal["tl", "sf", "pf", "mf"]


class AugmentParams(Params):
    """Random changes of a training sample. Geometry and colour are drawn once a sample, for all its frames."""

    crop: Annotated[tuple[int, int], FromList] = Field(
        description="height and width of a training crop, pixels, multiples of 8"
    )
    scale: Annotated[tuple[float, float], FromList] = Field(
        description="smallest and largest random scale of the frame, 0.1 to 10"
    )
    rotation: float = Field(ge=0, le=90, description="largest random rotation either way, degrees")
    flip: Probability = Field(description="probability of a horizontal flip")
    blur: Probability = Field(description="probability of a Gaussian blur")
    blur_sigma: float = Field(gt=0, le=10, description="largest standard deviation of the blur, pixels")
    brightness: float = Field(ge=0, lt=1, description="largest relative change of brightness")
    contrast: float = Field(ge=0, lt=1, description="largest relative change of contrast")
    saturation: float = Field(ge=0, le=1, description="largest relative change of saturation")

    @model_validator(mode="after")
    def _sensible(self) -> "AugmentParams":
        if any(side < 8 or side % 8 for side in self.crop):
            raise ValueError(f"crop {list(self.crop)}: height and width must be multiples of 8, at least 8")
        low, high = self.scale
        if not 0.1 <= low <= high <= 10:
            raise ValueError(f"scale {[low, high]}: give smallest and largest, between 0.1 and 10")
        return self


class MachineParams(Params):
    """How the machine is used. Changing these keys changes no result beyond rounding.

    A checkpoint is resumed only with the same ones, but for those that change not even a bit
    (``etc.training.fingerprint.NEUTRAL``).
    """

    device: Literal["auto", "cpu", "cuda"] = Field(description="auto takes a GPU when there is one")
    threads: int = Field(ge=1, le=256, description="CPU threads of one process; the last bits of a result depend on it")
    precision: Literal["fp32", "bf16", "fp16"] = Field(description="number format of the forward and backward pass")
    channels_last: bool = Field(description="memory layout with channels innermost: faster, on CPUs too")
    compile: bool = Field(description="compile the student with torch.compile: slow start, faster steps on a GPU")
    workers: int = Field(ge=0, le=128, description="processes that load data; 0 loads in the training process")
    cache_mb: int = Field(
        ge=0, le=10**8, description="memory for decoded frames and labels, MB a process; 0 keeps none"
    )
    decoded: str | None = Field(
        default=None, min_length=1, description="folder that keeps decoded frames and labels; null: none"
    )
    augment_on: Literal["loader", "device"] = Field(
        default="loader", description="who changes samples: the loaders, or the training's device, e.g. a GPU"
    )
    checkpoint_every: int = Field(ge=1, le=10**9, description="iterations between two checkpoints")


class NetworkParams(Params):
    """A network."""

    architecture: str = Field(description="name of a network in etc/models/registry.py, or hf:NAME")
    width: int | None = Field(
        ge=SMALLEST_WIDTH, le=LARGEST_WIDTH, multiple_of=4, description="base width; 64 as published; null for hf:NAME"
    )

    @model_validator(mode="after")
    def _known(self) -> "NetworkParams":
        if not is_huggingface(self.architecture) and self.architecture not in NETWORKS:
            raise ValueError(explain(self.architecture))
        if is_huggingface(self.architecture) != (self.width is None):
            raise ValueError(
                f"architecture '{self.architecture}' with width {self.width}: a network of this package needs a width, "
                "a Hugging Face model (hf:NAME) has none: null"
            )
        return self


class SamplingParams(Params):
    """Which frames a sample is made of."""

    pseudo_share: Probability = Field(description="share of the samples whose label is a pseudo-label; 0 uses none")
    partner_reach: int = Field(ge=1, le=10, description="the second frame is at most this many places away in the clip")


class MotionParams(Params):
    """The temporal loss TL."""

    form: MotionForm = Field(description="as written in the paper, or as in its released code")
    stride: Annotated[Literal[1, 2, 4, 8], WholeNumber] = Field(
        description="TL is computed on a grid this many times coarser than the crop"
    )


class TrainingParams(Params):
    """What every trained network needs."""

    iterations: int = Field(ge=1, le=10**9, description="optimiser steps")
    batch: int = Field(ge=1, le=10**6, description="samples a step, over all processes")
    accumulate: int = Field(ge=1, le=10**6, description="parts that a batch is cut into when memory is short")
    lr: float = Field(gt=0, le=10, description="learning rate of the backbone at the start")
    head_lr_factor: float = Field(gt=0, le=100, description="learning rate of all other layers, times lr")
    optimiser: Literal["sgd", "adamw"] = Field(description="sgd with momentum, or adamw with betas 0.9 and 0.999")
    momentum: float = Field(ge=0, lt=1, description="momentum of sgd; adamw ignores it")
    weight_decay: float = Field(ge=0, le=1, description="weight decay; that of adamw is decoupled from the gradient")
    schedule: Schedule = Field(description="how the learning rate falls")
    power: float = Field(ge=0, le=10, description="power of the polynomial schedule")
    warmup: int = Field(ge=0, le=10**9, description="iterations over which the learning rate first rises linearly")
    clip_gradient: float | None = Field(gt=0, description="largest norm of the gradient; null does not clip")
    backbone: str | None = Field(
        description="file with ImageNet weights of the backbone, or installed: of a package; null: random weights"
    )
    freeze_bn: bool = Field(description="keep the statistics of the backbone's batch normalisation as they were loaded")
    class_weights: list[Annotated[float, Field(ge=0, le=1000)]] | None = Field(
        min_length=1, description="weight of each class in the cross-entropy, 0 to 1000; null: all 1"
    )
    ohem_threshold: float | None = Field(
        gt=0, le=1, description="only pixels whose true class has at most this probability count; null: all count"
    )
    ohem_fraction: Probability = Field(description="share of the labelled pixels that counts at least, hardest first")
    auxiliary_weight: float = Field(ge=0, le=10, description="weight of the cross-entropy on each auxiliary head")
    history_every: int = Field(ge=1, le=10**9, description="iterations between two rows of the loss history")
    judge_every: int | None = Field(
        ge=1, le=10**9, description="iterations between two judgements on the split dev; null never judges"
    )
    keep: Literal["last", "best"] = Field(
        description="the weights of the last step, or those of the judgement with the highest mIoU"
    )
    augment: AugmentParams
    machine: MachineParams

    @model_validator(mode="after")
    def _divisible(self) -> "TrainingParams":
        if self.keep == "best" and self.judge_every is None:
            raise ValueError("keep 'best' needs 'judge_every': without judgements nobody knows which is best")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} cannot be cut into {self.accumulate} equal parts")
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup {self.warmup} must be shorter than the {self.iterations} iterations")
        # Smaller numbers are lost in sums of float32.
        if self.class_weights is not None and max(self.class_weights) < 1e-6:
            raise ValueError("class_weights: all are 0 or nearly, so that nothing would be learnt; raise some of them")
        return self


class AnnotatedParams(Params):
    """A network trained on the annotated frames alone, or a checkpoint: the other keys then have no effect."""

    training: TrainingParams
    checkpoint: str | None = Field(None, description="folder of a trained network to take instead of training one")
    checksum: str | None = Field(
        None, pattern="^[0-9a-fA-F]{8,64}$", description="first hex digits of the SHA-256 of its weights.safetensors"
    )

    @model_validator(mode="after")
    def _named_by_content(self) -> "AnnotatedParams":
        # The weights are not in this file but their checksum is, so other weights make the stage due.
        if self.checkpoint is not None and self.checksum is None:
            raise ValueError(f"a checkpoint needs 'checksum': sha256sum {self.checkpoint}/weights.safetensors")
        return self
