"""What a report counts and lists."""

import torch

from etc.models.load_report import LoadReport, compare

OWN = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2), "bn.num_batches_tracked": torch.tensor(0)}


def test_everything_fits():
    report = compare(OWN, OWN, "x.pth")
    assert report.fits and report.problems == ""
    assert report.line() == "x.pth: 3 tensors loaded"


def test_old_files_have_no_counters():
    state = {name: x for name, x in OWN.items() if "num_batches" not in name}
    report = compare(OWN, state, "x.pth")
    assert report.fits and report.loaded == ("a.weight", "a.bias")


def test_what_is_left_out_is_said():
    report = compare(OWN, {**OWN, "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, "x.pth", ("fc.",))
    assert report.fits
    assert report.line() == "x.pth: 3 tensors loaded; 2 left out: fc.weight, fc.bias"


def test_a_wanted_key_is_not_left_out():
    assert compare(OWN, OWN, "x.pth", ("a.",)).loaded == tuple(OWN)


def test_problems_are_named_with_both_shapes():
    state = {"a.weight": torch.zeros(3, 2), "extra": torch.zeros(1)}
    report = compare(OWN, state, "x.pth")
    assert not report.fits
    assert report.problems == (
        "1 missing: a.bias; 1 unexpected: extra; 1 of another shape: a.weight (3, 2) instead of (2, 3)"
    )


def test_a_lenient_load_lists_what_was_initialised_at_random_and_what_was_not_used():
    report = LoadReport("m", loaded=("a",), missing=("b",), unexpected=("c",), mismatched=("d",))
    assert report.line() == "m: 1 tensor loaded; 1 not used: c; 2 initialised at random: b, d"
