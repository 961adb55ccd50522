"""The objective against its parts, computed one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etc.core.params_file import load_block
from etc.models import registry
from etc.models.output import Output
from etc.params import student as params
from etc.terms.functional import motion_loss, pair_of_frames_loss, pair_wise_loss, pixel_wise_divergence
from etc.terms.scheme import build_terms
from etc.training.batches import Batch
from etc.training.cross_entropy import SegmentationLoss
from etc.training.objective import BATCH_NORM, Objective, outputs_per_frame
from etc.training.optimiser import make_optimiser
from tests.training.toy import ROOT

SETTINGS = load_block(ROOT / "params/student.yaml", "street", params.StudentParams)
CLASSES, B = 5, 2
SIZE = (16, 24)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    labels = torch.randint(0, CLASSES, (B, *SIZE))
    labels[:, :3] = 255
    order = torch.tensor([[1, 0, 2], [2, 0, 1]])
    flow = torch.randn(B, 2, *SIZE)
    return Batch(torch.rand(3, B, 3, *SIZE), labels, flow, torch.ones(B, *SIZE, dtype=torch.bool), order, ("a", "b"))


def objective(scheme):
    torch.manual_seed(1)
    student = registry.build("pspnet18", CLASSES, 8).eval()
    return Objective(student, SegmentationLoss(), build_terms(scheme, SETTINGS.losses), scheme)


def outputs(seed, channels=6, size=(2, 3)):
    generator = torch.Generator().manual_seed(seed)

    def output():
        logits = torch.randn(B, CLASSES, *size, generator=generator)
        return Output(logits, torch.randn(B, channels, *size, generator=generator))

    return [output() for _ in range(3)]


@pytest.mark.parametrize(
    ("scheme", "frames", "teacher_frames"),
    [
        ({}, 1, 0),
        ({"tl": 1.0}, 2, 0),
        ({"sf": 1.0}, 1, 1),
        ({"sf": 1.0, "pf": 1.0}, 2, 2),
        ({"sf": 1.0, "mf": 1.0}, 3, 3),
        ({"sf": 1.0, "tl": 1.0}, 2, 2),
        ({"tl": 1.0, "sf": 1.0, "pf": 1.0, "mf": 1.0}, 3, 3),
    ],
)
def test_only_the_frames_that_a_scheme_needs_are_seen(scheme, frames, teacher_frames):
    made = objective(scheme)
    assert (made.frames, made.teacher_frames) == (frames, teacher_frames)


def test_teacher_sees_the_labelled_frame_alone_when_the_others_weigh_nothing():
    losses = SETTINGS.losses.model_copy(update={"sf": SETTINGS.losses.sf.model_copy(update={"other_frames": 0.0})})
    assert build_terms({"sf": 1.0, "tl": 1.0}, losses)["sf"].teacher_frames == 1


def test_every_scheme_starts_from_the_same_student():
    states = [objective(scheme).student.state_dict() for scheme in ({}, {"mf": 1.0, "sf": 1.0})]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("convert", [lambda network: network, nn.SyncBatchNorm.convert_sync_batchnorm])
def test_frozen_statistics_stay_in_evaluation_mode_also_where_gpus_share_a_batch(convert):
    student = convert(registry.build("pspnet18", CLASSES, 8))
    made = Objective(student, SegmentationLoss(), {}, {}, freeze_bn=True).train()
    modes = {name: one.training for name, one in student.named_modules() if isinstance(one, BATCH_NORM)}
    assert {name for name, training in modes.items() if not training} == {
        name for name in modes if name.startswith("backbone.")
    }
    assert made.training and any(modes.values())


def test_outputs_come_frame_by_frame_in_order(batch):
    network = registry.build("pspnet18", CLASSES, 8).eval()
    for output, images in zip(outputs_per_frame(network, batch.images), batch.images, strict=True):
        assert torch.allclose(output.logits, network(images).logits, atol=1e-5)


def test_total_is_the_weighted_sum_and_reaches_the_student(batch):
    scheme = {"tl": 3.0, "sf": 0.5, "pf": 2.0, "mf": 7.0}
    made = objective(scheme)
    teacher = outputs(5)
    values = made(batch, teacher, torch.ones(5))
    named = dict(zip(made.names, values.tolist(), strict=True))
    assert made.names == ["total", "ce", "tl", "sf", "pf", "mf"]
    expected = named["ce"] + sum(weight * named[name] for name, weight in scheme.items())
    assert named["total"] == pytest.approx(expected, rel=1e-5)
    values[0].backward()
    assert all(parameter.grad is not None for parameter in made.terms.parameters())
    reached = [name for name, p in made.student.named_parameters() if p.grad is not None]
    assert any(name.startswith("backbone.conv1") for name in reached)


def test_each_share_scales_its_own_value(batch):
    made = objective({"tl": 3.0})
    whole, part = made(batch, [], torch.ones(2)).tolist(), made(batch, [], torch.tensor([0.5, 0.25])).tolist()
    assert part[1] == pytest.approx(whole[1] / 2) and part[2] == pytest.approx(whole[2] / 4)
    assert part[0] == pytest.approx(part[1] + 3 * part[2])


def test_tl_is_the_motion_loss_on_the_coarse_grid(batch):
    student = outputs(3)
    value = build_terms({"tl": 1.0}, SETTINGS.losses)["tl"](batch, student, [])
    stride = SETTINGS.losses.tl.stride
    size = (SIZE[0] // stride, SIZE[1] // stride)
    scores = [F.interpolate(output.logits, size=size, mode="bilinear", align_corners=False) for output in student]
    images = [F.interpolate(image, size=size, mode="area") for image in batch.images]
    flow = F.interpolate(batch.flow, size=size, mode="bilinear", align_corners=False) / stride
    assert value.item() == pytest.approx(motion_loss(scores[0], scores[1], images[0], images[1], flow).item(), rel=1e-5)


def test_sf_weighs_the_labelled_frame_most(batch):
    student, teacher = outputs(3), outputs(4, channels=9)
    term = build_terms({"sf": 1.0, "mf": 1.0}, SETTINGS.losses)["sf"]
    each = [
        pixel_wise_divergence(s.logits, t.logits, SETTINGS.losses.sf.temperature)
        + SETTINGS.losses.sf.pair_weight * pair_wise_loss(s.features, t.features, SETTINGS.losses.sf.grid)
        for s, t in zip(student, teacher, strict=True)
    ]
    expected = each[0] + SETTINGS.losses.sf.other_frames * (each[1] + each[2])
    assert term(batch, student, teacher).item() == pytest.approx(expected.item(), rel=1e-5)


def test_pf_compares_the_labelled_frame_with_its_partner(batch):
    student, teacher = outputs(3), outputs(4, channels=9)
    expected = pair_of_frames_loss(*(output.features for output in (*student[:2], *teacher[:2])))
    value = build_terms({"pf": 1.0}, SETTINGS.losses)["pf"](batch, student, teacher)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_mf_takes_each_sample_in_temporal_order(batch):
    student, teacher = outputs(3), outputs(4, channels=9)
    term = build_terms({"mf": 1.0}, SETTINGS.losses)["mf"]
    ordered = [
        [torch.stack([outs[batch.order[b, moment]].features[b] for b in range(B)]) for moment in range(3)]
        for outs in (student, teacher)
    ]
    assert term(batch, student, teacher).item() == pytest.approx(term.loss(*ordered).item(), rel=1e-6)


def test_after_step_clips_the_convlstm():
    made = objective({"mf": 1.0, "sf": 1.0})
    with torch.no_grad():
        for parameter in made.terms.parameters():
            parameter.fill_(9.0)
    made.after_step()
    assert max(parameter.abs().max().item() for parameter in made.terms.parameters()) <= SETTINGS.losses.mf.clip + 1e-7


def test_optimiser_has_every_weight_once_and_spares_the_terms_the_decay():
    made = objective({"mf": 1.0, "sf": 1.0})
    groups = make_optimiser(made, SETTINGS.training).param_groups
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(ids) == len(set(ids)) and set(ids) == {id(parameter) for parameter in made.parameters()}
    assert [group["lr_factor"] for group in groups] == [1.0, *[SETTINGS.training.head_lr_factor] * 2]
    decay = SETTINGS.training.weight_decay
    assert [group["weight_decay"] for group in groups] == [decay, decay, 0.0]


def resized(x, size):
    """Bilinear, pixel centres aligned, written out: each new pixel is a mean of two rows and two columns."""
    for axis, count in ((2, size[0]), (3, size[1])):
        old = x.shape[axis]
        place = ((torch.arange(count) + 0.5) * old / count - 0.5).clamp(0, old - 1)
        low = place.floor().long().clamp(max=max(old - 2, 0))
        share = (place - low).view(-1, *[1] * (3 - axis))
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, (low + 1).clamp(max=old - 1)) * share
    return x


@pytest.mark.parametrize("size", [(4, 6), (1, 2), (2, 3)], ids=["finer teacher", "coarser teacher", "equal"])
def test_teachers_of_another_output_stride_are_brought_to_the_students_size(batch, size):
    student, teacher = outputs(3), outputs(4, channels=9, size=size)
    seen = [Output(resized(t.logits, (2, 3)), resized(t.features, (2, 3))) for t in teacher]
    terms = build_terms({"sf": 1.0, "pf": 1.0, "mf": 1.0}, SETTINGS.losses)
    for name in ("sf", "pf"):
        expected = terms[name](batch, student, seen).item()
        assert terms[name](batch, student, teacher).item() == pytest.approx(expected, rel=1e-5)
    assert terms["mf"](batch, student, teacher).isfinite()


def test_features_averaged_to_a_grid_keep_their_own_resolution(batch):
    pair = SETTINGS.losses.pf.model_copy(update={"grid": (2, 2)})
    losses = SETTINGS.losses.model_copy(update={"pf": pair})
    student, teacher = outputs(3), outputs(4, channels=9, size=(4, 6))
    expected = pair_of_frames_loss(*(output.features for output in (*student[:2], *teacher[:2])), (2, 2))
    assert build_terms({"pf": 1.0}, losses)["pf"](batch, student, teacher).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("student", ["mobilenetv2", "hrnet_w18_small", "bisenetv2"])
@pytest.mark.parametrize("teacher", ["pspnet18", "hrnet_w18_small"])
def test_networks_of_any_output_stride_teach_each_other(batch, student, teacher):
    scheme = {"tl": 1.0, "sf": 1.0, "pf": 1.0, "mf": 1.0}
    learner, master = (registry.build(name, CLASSES, 8) for name in (student, teacher))
    made = Objective(learner.train(), SegmentationLoss(), build_terms(scheme, SETTINGS.losses), scheme)
    with torch.no_grad():
        seen = outputs_per_frame(master.eval(), batch.images)
    values = made(batch, seen, torch.ones(5))
    values[0].backward()
    assert values.isfinite().all()
    reached = [name for name, parameter in learner.named_parameters() if parameter.grad is not None]
    assert len(reached) == len(list(learner.parameters()))


def test_every_auxiliary_head_is_split_by_frame(batch):
    network = registry.build("bisenetv2", CLASSES, 8).train()
    seen = outputs_per_frame(network, batch.images)
    assert len(seen) == 3
    assert all(len(output.auxiliary) == 4 and {len(head) for head in output.auxiliary} == {B} for output in seen)
