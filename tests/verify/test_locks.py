"""Verdicts on small made-up locks: what differs, where that began, and what somebody has changed."""

import copy

import pytest

from etc.verify.locks import Verdict, compare

FRAMES, LABELLER, STUDENT, REPORT = "frames@street", "labeller@street", "student@street-tl-0", "report@street"


def stage(deps, outs, params=None):
    """An entry of dvc.lock; a path's hash is its first letter until a test changes it."""
    entry = {
        "cmd": "etc stage street",
        "deps": [{"path": path, "hash": "md5", "md5": path[0], "size": 1} for path in deps],
        "outs": [{"path": path, "hash": "md5", "md5": path[0]} for path in outs],
    }
    return entry | ({"params": params} if params else {})


LOCK = {
    FRAMES: stage(["etc/sources"], ["data/root", "data/frames.parquet"]),
    LABELLER: stage(["etc/training", "data/frames.parquet"], ["data/labeller.bin"]),
    STUDENT: stage(
        ["etc/training", "data/frames.parquet", "data/labeller.bin"],
        ["data/students/tl.bin", "data/history/tl.parquet"],
        {"params/student.yaml": {"street.training": {"lr": 0.1, "batch": 4}, "street.start": None}},
    ),
    REPORT: stage(["etc/reporting", "data/history"], ["results/schemes.csv"]),
}


def changed(*changes):
    """The lock after changes (stage, ``deps`` or ``outs``, path): new hashes there."""
    lock = copy.deepcopy(LOCK)
    for name, key, path in changes:
        (entry,) = [one for one in lock[name][key] if one["path"] == path]
        entry["md5"] = "new"
    return lock


def verdicts(here, committed=LOCK, wrong=None):
    found = compare(committed, here, {name: [] for name in here} | (wrong or {}))
    assert [one.stage for one in found] == list({name: [] for name in here} | (wrong or {}))
    return {one.stage: one for one in found}


def kinds(here, committed=LOCK, wrong=None):
    return [one.kind for one in verdicts(here, committed, wrong).values()]


FRAMES_DIFFER = (
    (FRAMES, "outs", "data/root"),
    (FRAMES, "outs", "data/frames.parquet"),
    (LABELLER, "deps", "data/frames.parquet"),
    (STUDENT, "deps", "data/frames.parquet"),
)
ALL_DIFFER = (
    *FRAMES_DIFFER,
    (LABELLER, "outs", "data/labeller.bin"),
    (STUDENT, "deps", "data/labeller.bin"),
    (STUDENT, "outs", "data/students/tl.bin"),
    (STUDENT, "outs", "data/history/tl.parquet"),
    (REPORT, "deps", "data/history"),
    (REPORT, "outs", "results/schemes.csv"),
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), ["equal"] * 4),
        (ALL_DIFFER, ["first", "follows", "follows", "follows"]),
        (FRAMES_DIFFER, ["first", "equal", "equal", "equal"]),
        (ALL_DIFFER[6:], ["equal", "equal", "first", "follows"]),
        ((("report@street", "outs", "results/schemes.csv"),), ["equal", "equal", "equal", "first"]),
        # Code alone, with and without an effect.
        ((("labeller@street", "deps", "etc/training"),), ["equal"] * 4),
        ((("labeller@street", "deps", "etc/training"), *ALL_DIFFER[4:]), ["equal", "changed", "follows", "follows"]),
        # The frames differ by machine; that the labeller was changed too is said.
        ((("labeller@street", "deps", "etc/training"), *ALL_DIFFER), ["first", "changed", "follows", "follows"]),
    ],
    ids=["equal", "frames", "healed", "student", "report", "idle code", "code", "code and frames"],
)
def test_the_first_stage_that_differs_and_what_follows(changes, expected):
    assert kinds(changed(*changes)) == expected


def test_details_name_what_differs_and_where_it_began():
    found = verdicts(changed(*ALL_DIFFER))
    assert found[FRAMES].details == ("data/frames.parquet", "data/root")
    assert found[REPORT] == Verdict(REPORT, "follows", (FRAMES,))
    # Both begin: the student got the labeller's other bytes, the labeller equal ones.
    found = verdicts(changed((LABELLER, "deps", "etc/training"), *ALL_DIFFER))
    assert found[LABELLER].details == ("etc/training",)
    assert found[STUDENT].details == (FRAMES, LABELLER)


def test_a_changed_parameter_is_named_by_its_key():
    here = changed(*ALL_DIFFER[6:])
    here[STUDENT]["params"]["params/student.yaml"]["street.training"]["lr"] = 0.2
    found = verdicts(here)
    assert found[STUDENT] == Verdict(STUDENT, "changed", ("params/student.yaml: street.training.lr",))
    assert found[REPORT].details == (STUDENT,)


def test_a_changed_command_and_a_stage_that_is_new_are_changes_of_somebody():
    here = changed(*ALL_DIFFER[6:])
    here[STUDENT]["cmd"] += " --seed 1"
    here["student@street-etc-0"] = stage(["etc/training"], ["data/history/etc.parquet"])
    found = verdicts(here)
    assert found[STUDENT].details == ("its command",)
    assert found["student@street-etc-0"].kind == "changed"
    assert set(found[REPORT].details) == {STUDENT, "student@street-etc-0"}


def test_an_output_that_is_declared_no_more_is_a_change_of_somebody():
    here = changed()
    here[LABELLER]["outs"] = stage([], ["data/labeller.bin"])["outs"]
    committed = changed()
    committed[LABELLER]["outs"] += [{"path": "data/timing.json", "md5": "t"}]
    assert verdicts(here, committed)[LABELLER] == Verdict(LABELLER, "changed", ("declares other outputs",))


def test_a_file_that_somebody_put_into_a_folder_is_named():
    found = verdicts(changed((REPORT, "deps", "data/history"), (REPORT, "outs", "results/schemes.csv")))
    assert found[REPORT] == Verdict(REPORT, "changed", ("data/history",))


def test_what_has_not_run_is_not_compared():
    here = changed(*ALL_DIFFER)
    del here[REPORT]
    wrong = {STUDENT: ["data/students/tl.bin deleted"], REPORT: []}
    found = verdicts(here, wrong=wrong)
    assert found[STUDENT] == Verdict(STUDENT, "unfinished", ("data/students/tl.bin deleted",))
    assert found[REPORT] == Verdict(REPORT, "unfinished", ("has not run",))


def test_stages_that_the_graph_no_longer_has_do_not_matter():
    here = changed() | {"student@street-old-0": stage([], ["data/students/old.bin"])}
    found = compare(LOCK | {"student@street-older-0": stage([], [])}, here, {name: [] for name in LOCK})
    assert [one.kind for one in found] == ["equal"] * 4
