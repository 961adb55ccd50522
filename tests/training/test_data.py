import resource
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from etc.core.errors import UserError
from etc.core.params_file import load_block
from etc.params import student as params
from etc.training.batches import Parts, loader, on_device
from etc.training.data import Clips, Labelled, Samples
from etc.training.device_augment import Cut

ROOT = Path(__file__).parents[2]
AUGMENT = load_block(ROOT / "params/student.yaml", "street", params.StudentParams).training.augment.model_copy(
    update={"crop": (16, 24)}
)
SIZE = (20, 30)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 9, (*SIZE, 3)).astype(np.uint8)


def grey(seed):
    return picture(seed)[..., 0]


def read_flow(source, target, window):
    size = [part.stop - part.start for part in window]
    return np.full((*size, 2), target - source, np.float32), np.ones(size, bool)


def open_flow(clip):
    return read_flow


def world(clips=4, frames=9, flow=True, step=1):
    """Clips whose middle frame is annotated and whose other frames are pseudo-labelled; numbers go in steps."""
    images = {
        f"c{clip}": {number * step: partial(picture, clip * 100 + number) for number in range(frames)}
        for clip in range(clips)
    }
    middle = frames // 2
    labelled = [Labelled(clip, number, partial(grey, number)) for clip in images for number in images[clip]]
    return Clips(
        images,
        [item for item in labelled if item.frame == middle * step],
        [item for item in labelled if item.frame != middle * step],
        open_flow if flow else None,
    )


def samples(clips=None, frames=3, **changes):
    settings = {"augment": AUGMENT, "seed": 0, "batch": 4, "frames": frames, "reach": 3, "pseudo_share": 0.5}
    return Samples(clips or world(), **(settings | changes))


def batches(start=0, stop=6, workers=0, accumulate=1, process=0, processes=1, **changes):
    parts = Parts(start, stop, 4, accumulate, process, processes)
    return list(loader(samples(**changes), parts, workers, pin_memory=False))


def same(one, other):
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def expected():
    return batches()


def test_shapes_and_ranges(expected):
    batch = expected[0]
    assert batch.images.shape == (3, 4, 3, 16, 24) and batch.images.dtype == torch.float32
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    assert batch.labels.shape == (4, 16, 24) and batch.labels.dtype == torch.int64
    assert batch.flow.shape == (4, 2, 16, 24) and batch.visible.dtype == torch.bool
    # Channels are innermost already, so that the network need not copy them.
    assert batch.images[0].is_contiguous(memory_format=torch.channels_last)


def test_the_number_of_workers_does_not_matter(expected):
    assert all(map(same, batches(workers=2), expected))


@pytest.mark.parametrize(("workers", "frames", "flow"), [(0, 3, True), (2, 2, True), (0, 1, False)])
def test_the_device_makes_the_batches_of_the_loaders(workers, frames, flow):
    """The same samples, numbers and layouts; values but for rounding."""
    given = {"clips": world(flow=flow), "frames": frames}
    loaded = batches(stop=3, **given)
    cut = batches(stop=3, workers=workers, change=Cut, **given)
    for one, other in zip((on_device(batch, torch.device("cpu")) for batch in cut), loaded, strict=True):
        assert one.names == other.names
        for name, found, expected in zip(other._fields, one, other, strict=True):
            if isinstance(expected, torch.Tensor):
                assert found.stride() == expected.stride(), name
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
            else:
                assert found == expected, name


def test_a_batch_above_the_limit_of_files_is_named_and_not_waited_for():
    """As under ``ulimit -f``: workers hand batches over in shared memory, which counts as a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(UserError, match=r"shared memory \(.*File too large.*ulimit -f.*'machine.workers' to 0"):
            batches(workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_starting_later_gives_the_same_steps(expected):
    assert all(map(same, batches(start=4), expected[4:]))


def test_the_cache_does_not_matter(expected):
    for cache_mb in (0, 1):
        assert all(map(same, batches(cache_mb=cache_mb), expected))


def test_a_full_cache_keeps_no_more():
    few = samples(cache_mb=0)
    few._cache.left = 3 * picture(0).nbytes
    for number in range(20):
        few[number]
    assert sum(array.nbytes for array in few._cache.kept.values()) <= 3 * picture(0).nbytes


def test_schemes_see_the_same_labelled_frames_and_crops(expected):
    for frames, flow in ((1, False), (2, False), (2, True)):
        for batch, full in zip(batches(clips=world(flow=flow), frames=frames), expected, strict=True):
            assert torch.equal(batch.labels, full.labels)
            assert torch.equal(batch.images, full.images[:frames])
            assert (batch.flow is not None) == flow


def test_seeds_differ(expected):
    assert not same(batches(seed=1)[0], expected[0])


def test_parts_of_all_processes_make_up_the_batch(expected):
    for accumulate, processes in ((2, 1), (1, 2), (2, 2), (4, 1)):
        shares = [batches(accumulate=accumulate, process=rank, processes=processes) for rank in range(processes)]
        for step, batch in enumerate(expected):
            own = [part for share in shares for part in share[step * accumulate : (step + 1) * accumulate]]
            assert sum((part.names for part in own), ()) == batch.names
            assert torch.equal(torch.cat([part.images for part in own], dim=1), batch.images)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="batch 4 cannot be shared evenly by 3 processes x 1 parts"):
        Parts(0, 1, 4, 1, 0, 3)


def test_every_frame_once_before_any_twice():
    clips = world()
    drawn = [item["name"] for item in map(samples(clips, frames=1, pseudo_share=0.5).__getitem__, range(2 * 32))]
    count = Counter(drawn)
    pseudo = {f"{item.clip}:{item.frame}" for item in clips.pseudo}
    annotated = {f"{item.clip}:{item.frame}" for item in clips.annotated}
    assert {count[name] for name in pseudo} == {1}
    assert {count[name] for name in annotated} == {8}


def test_share_of_pseudo_labels_is_exact():
    for share, expected in ((0.0, 0), (0.25, 25), (1.0, 100)):
        all_samples = samples(frames=1, pseudo_share=share)
        middles = sum(all_samples[number]["name"].endswith(":4") for number in range(100))
        assert middles == 100 - expected


@pytest.mark.parametrize("step", [1, 2])
def test_partner_is_any_neighbour_but_the_frame_itself(step):
    drawn = samples(world(step=step), pseudo_share=0.0)
    offsets = Counter()
    for number in range(600):
        own, partner, third = map(int, drawn[number]["name"].split(":")[1].split("/"))
        assert third == 2 * own - partner
        offsets[(partner - own) // step] += 1
    assert set(offsets) == {-3, -2, -1, 1, 2, 3}
    assert min(offsets.values()) > 60


def test_at_the_end_of_a_clip_the_three_frames_differ_and_exist():
    drawn = samples(world(frames=3), pseudo_share=0.9)
    for number in range(200):
        item = drawn[number]
        frames = list(map(int, item["name"].split(":")[1].split("/")))
        assert sorted(frames) == [0, 1, 2]
        assert [frames[place] for place in item["order"]] == [0, 1, 2]


def test_flow_is_that_of_the_labelled_frame_to_its_partner():
    still = AUGMENT.model_copy(update={"scale": (1.0, 1.0), "rotation": 0.0, "flip": 0.0})
    drawn = samples(augment=still)
    for number in range(20):
        item = drawn[number]
        own, partner, _ = map(int, item["name"].split(":")[1].split("/"))
        np.testing.assert_allclose(item["sample"].flow, partner - own, atol=1e-5)


@pytest.mark.parametrize(
    ("clips", "frames", "share", "message"),
    [
        (Clips({}, []), 1, 0.0, "no annotated frame"),
        (
            Clips({"a": {0: None}}, [Labelled("a", 0, None)]),
            1,
            0.5,
            "no pseudo-labels, but 'sampling.pseudo_share' is 0.5",
        ),
        (Clips({"a": {0: None}}, [Labelled("a", 0, None)]), 2, 0.0, "none of the 1 labelled .* look at 2 frames"),
    ],
)
def test_missing_frames_are_named(clips, frames, share, message):
    with pytest.raises(UserError, match=message):
        samples(clips, frames=frames, pseudo_share=share)


def test_a_frame_without_neighbours_stands_in_for_them_and_has_no_visible_flow():
    clips = world()
    lonely = Clips(
        {**clips.images, "lone": {7: partial(picture, 3)}},
        [*clips.annotated, Labelled("lone", 7, partial(grey, 3))],
        clips.pseudo,
        clips.flow,
    )
    drawn = samples(lonely)
    assert drawn.note.startswith("1 labelled frame has no neighbour")
    assert samples(lonely, frames=1).note == samples(clips).note == ""
    items = [drawn[number] for number in range(40)]
    alone = [item for item in items if item["name"].startswith("lone")]
    assert alone and len(alone) < len(items)
    for item in alone:
        assert item["name"] == "lone:7/7/7" and item["order"].tolist() == [0, 1, 2]
        images, visible = item["sample"].images, item["sample"].visible
        assert not visible.any() and (images == images[:1]).all()
    assert all(item["sample"].visible.any() for item in items if not item["name"].startswith("lone"))


def test_of_a_clip_of_two_frames_the_third_is_the_labelled_one():
    drawn = samples(world(frames=2), pseudo_share=0.5)
    names = {drawn[number]["name"].split(":")[1] for number in range(40)}
    assert names == {"0/1/0", "1/0/1"}
