"""The evaluate stage: which clips it takes, and that its tables hold every count once."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from etc.cli import app
from etc.core.errors import UserError
from etc.core.files import read_json, sha256
from etc.cost import cost
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import label_set
from etc.evaluation.counts import counts_table
from etc.evaluation.iou import confusion_matrix
from etc.models import registry, weights
from etc.params import evaluate as params
from etc.params.experiment import Network, Run
from etc.reporting import samples
from etc.stages import evaluate
from tests.training import toy

STUDENT = Run("pspnet18", "tl", 0)


@pytest.fixture
def frames():
    clips = [f"street_{number:06d}" for number in range(20)]
    return pd.DataFrame({"clip": np.repeat(clips, 3), "split": np.repeat(["dev"] * 5 + ["test"] * 15, 3)})


def sample(frames, split, **choice):
    return evaluate.sample_clips(frames, split, params.Sample(**{"share": 1.0, "seed": 0} | choice))


def test_the_whole_split_is_taken_in_order(frames):
    clips = sample(frames, "test")
    assert clips == sorted(clips) and len(clips) == 15


def test_a_share_is_a_fixed_random_choice_without_repeats(frames):
    first = sample(frames, "test", share=0.4, seed=1)
    assert len(first) == len(set(first)) == 6 and first == sorted(first)
    assert first == sample(frames, "test", share=0.4, seed=1)
    assert first != sample(frames, "test", share=0.4, seed=2)


def test_at_least_one_clip_is_taken_and_none_of_an_empty_split(frames):
    assert len(sample(frames, "dev", share=0.01)) == 1
    assert sample(frames, "train") == []


def test_a_list_of_clips(frames):
    assert sample(frames, "test", clips=["street_000009", "street_000006"]) == ["street_000006", "street_000009"]
    with pytest.raises(UserError, match="1 of 2 clips were not found, e.g. street_000001"):
        sample(frames, "test", clips=["street_000009", "street_000001"])
    with pytest.raises(UserError, match="sample.clips: names clip street_000009 twice"):
        sample(frames, "test", clips=["street_000009", "street_000009"])


def test_a_list_and_a_share_contradict_each_other(tmp_path):
    block = {"split": "test", "sample_clips": 1, "batch": 4, "device": "cpu", "threads": 1}
    block["sample"] = {"share": 0.5, "seed": 0, "clips": ["a"]}
    path = tmp_path / "evaluate.yaml"
    path.write_text(yaml.safe_dump({"street": block}))
    with pytest.raises(UserError, match="evaluate.yaml: key 'street.sample'.* set share to 1 or clips to null"):
        params.load("street", path)
    block["sample"]["clips"] = "all"
    path.write_text(yaml.safe_dump({"street": block}))
    with pytest.raises(UserError, match="street.sample.clips"):
        params.load("street", path)


def test_the_list_of_the_paper(frames):
    with pytest.raises(UserError, match="108 of 108 clips were not found, e.g. frankfurt_000000_001016"):
        sample(frames, "test", clips="cityscapes_tc")
    names = [*params_list(), "munster_000000_000000"]
    cityscapes = pd.DataFrame({"clip": names, "split": "test"})
    assert sample(cityscapes, "test", clips="cityscapes_tc") == sorted(names[:-1])


def params_list():
    lines = (toy.ROOT / "etc/evaluation/assets/cityscapes_tc.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_tables_hold_one_row_per_frame_and_class():
    generator = np.random.default_rng(0)
    records, expected = [], []
    for frame in range(3):
        truth, prediction = generator.integers(0, 4, (2, 10, 12)).astype(np.uint8)
        records.append(evaluate._accuracy("a", frame, confusion_matrix(prediction, truth, 4)))
        for one in range(4):
            hit, guess = truth == one, prediction == one
            expected.append(("a", frame, (hit & guess).sum(), (guess & ~hit).sum(), (hit & ~guess).sum(), one))
    table = counts_table(records, 4)
    assert table.column_names == ["clip", "frame", "tp", "fp", "fn", "class"]
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A toy project with an untrained student; all clips are test clips."""
    toy.make(tmp_path, clips=2, frames=3)
    folder = tmp_path / "data/street"
    frames = manifest.read(folder / "frames.parquet").assign(split="test")
    manifest.write(folder / "frames.parquet", frames, label_set("street"))
    shutil.copytree(folder / "flow/train", folder / "flow/compare")
    shutil.move(folder / "flow/train", folder / "flow/evaluate")
    shipped = yaml.safe_load((toy.ROOT / "params/evaluate.yaml").read_text())["street"]
    (tmp_path / "params/evaluate.yaml").write_text(yaml.safe_dump({"street": shipped | {"device": "cpu"}}))
    classes = label_set("street")
    torch.manual_seed(0)
    network = registry.build("pspnet18", classes.count, 8)
    config = {"architecture": "pspnet18", "width": 8, "classes": classes.count, "class_names": list(classes.names)}
    weights.save(folder / "students/pspnet18-tl-0", network, config)
    monkeypatch.chdir(tmp_path)
    yield folder / "evaluation/pspnet18-tl-0"
    torch.use_deterministic_algorithms(False)


def test_the_stage_counts_every_pair(project):
    """Counts against the saved predictions shifted by the known whole-pixel motion, with slices."""
    assert "judged on 2 clips" in evaluate.run("street", STUDENT)
    kept = np.load(project / "sample.npz")
    table = pd.read_parquet(project / "tc.parquet")
    pair = ["flow", "clip", "source", "target", "protocol", "same", "counted"]
    assert list(table) == [*pair, "intersection", "union", "class"]
    assert len(table) == 2 * 2 * 3 * 9
    right, down = toy.MOTION
    for source in (0, 1):
        now = kept["predictions"][source][:-down, :-right]
        after = kept["predictions"][source + 1][down:, right:]
        rows = table[(table["clip"] == str(kept["clip"])) & (table["source"] == source)]
        assert set(rows["target"]) == {source + 1}
        for (flow, protocol), counts in rows.groupby(["flow", "protocol"]):
            counts = counts.sort_values("class")
            both = [((now == one) & (after == one)).sum() for one in range(9)]
            either = [((now == one) | (after == one)).sum() for one in range(9)]
            assert protocol in evaluate.JUDGES[flow]
            np.testing.assert_array_equal(counts["intersection"], both)
            np.testing.assert_array_equal(counts["union"], either)
            assert set(counts["same"]) == {(now == after).sum()} and set(counts["counted"]) == {now.size}


def test_costs_are_results_and_times_are_not(project):
    """Parameters and multiply-accumulates as `etc networks` counts them, of unfused weights; the clock beside them."""
    evaluate.run("street", STUDENT)
    folder = project.parents[1]
    network, _ = weights.load(folder / "students/pspnet18-tl-0")
    parameters, operations = cost(network, (32, 64))
    made = read_json(project / "made.json")
    assert made == {"portable": False, "parameters": parameters, "gmac": operations / 1e9}
    assert 0 < parameters < sum(one.numel() for one in network.parameters()) and made["gmac"] > 0
    timing = read_json(folder / "timing/pspnet18-tl-0.json")
    assert timing.pop("ms_per_frame") > 0
    assert timing == {"weights_sha256": sha256(folder / "students/pspnet18-tl-0/weights.safetensors")}
    assert {path.name for path in project.iterdir()} == {"iou.parquet", "tc.parquet", "sample.npz", "made.json"}


def test_the_card_says_what_was_found(project):
    evaluate.run("street", STUDENT)
    folder = project.parents[1] / "students/pspnet18-tl-0"
    card = (folder / "README.md").read_text()
    head, rest = card.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-segmentation"
    assert "| made by | `etc student street --architecture pspnet18 --scheme tl --seed 0`; " in rest
    assert "# pspnet18-tl-0\n" in rest and "| classes | road, sidewalk, " in rest
    assert "| a frame | " in rest and " GMAC at 32 x 64 |" in rest and "## Measured on street, split test" in rest
    iou, tc = pd.read_parquet(project / "iou.parquet"), pd.read_parquet(project / "tc.parquet")
    per_class = iou.groupby("class")[["tp", "fp", "fn"]].sum()
    ratio = 100 * per_class["tp"] / per_class.sum(axis=1)
    assert f"| mIoU | {ratio.mean():.2f} | " in rest
    pairs = tc[(tc["flow"] == "evaluate") & (tc["protocol"] == "corrected")].groupby("class").sum(numeric_only=True)
    consistent = 100 * pairs["intersection"] / pairs["union"]
    assert f"| TC | {consistent.mean():.2f} | " in rest
    assert f"| road | {ratio[0]:.2f} | " in rest
    low, high = re.search(r"\| TC \| \S+ \| (\S+) to (\S+), 2 clips \|", rest).groups()
    assert float(low) < consistent.mean() < float(high)


def test_stills_are_judged_by_their_labels_alone(project):
    path = project.parents[1] / "frames.parquet"
    stills = manifest.read(path).query("annotated")
    manifest.write(path, stills, label_set("street"))
    assert "judged on 2 clips" in evaluate.run("street", STUDENT)
    assert len(pd.read_parquet(project / "iou.parquet")) == 2 * label_set("street").count
    pairs = pd.read_parquet(project / "tc.parquet")
    assert pairs.empty and {"flow", "protocol", "clip", "class", "intersection"} <= set(pairs)
    card = (project.parents[1] / "students/pspnet18-tl-0/README.md").read_text()
    assert "| mIoU | " in card and "| TC |" not in card
    with pytest.raises(UserError, match="no clip of several frames, .*take mIoU from README.md in data/street"):
        samples.read(Dataset("street"), {"tl": STUDENT})
    manifest.write(path, stills.assign(label="", label_checksum="", annotated=False), label_set("street"))
    with pytest.raises(UserError, match="no label and no two frames of a clip in split 'test'; change 'split'"):
        evaluate.run("street", STUDENT)


def test_labeller_and_teacher_are_judged_as_students_are(project):
    """The same weights in another place give the same files under another name."""
    evaluate.run("street", STUDENT)
    folder = project.parents[1]
    for kind, seed in (("labeller", 0), ("teacher", 3)):
        shutil.copytree(folder / "students/pspnet18-tl-0", folder / kind / str(seed))
        assert f"{kind}-{seed} judged on 2 clips" in evaluate.run("street", Network(kind, seed))
        for path in project.iterdir():
            assert (folder / f"evaluation/{kind}-{seed}" / path.name).read_bytes() == path.read_bytes()
        assert (folder / f"timing/{kind}-{seed}.json").exists()


@pytest.mark.parametrize(
    "options", [[], ["--network", "teacher", "--scheme", "tl"], ["--network", "teacher", "--architecture", "pspnet18"]]
)
def test_the_command_judges_a_student_or_another_network(options, project, monkeypatch):
    monkeypatch.setattr("etc.params.check.check_all", lambda: None)
    result = CliRunner().invoke(app, ["evaluate", "street", "--seed", "0", *options])
    assert result.exit_code == 1
    assert result.output.startswith("error: name a student by --scheme (and --architecture), or another network by")
    shutil.copytree(project.parents[1] / "students/pspnet18-tl-0", project.parents[1] / "teacher/0")
    for one, name in (("--scheme=tl", "pspnet18-tl-0"), ("--network=teacher", "teacher-0")):
        result = CliRunner().invoke(app, ["evaluate", "street", "--seed", "0", one])
        assert result.exit_code == 0 and f"{name} judged on 2 clips" in result.output, result.output


def test_accuracy_is_over_all_labelled_frames_when_tc_is_sampled(project):
    evaluate.run("street", STUDENT)
    whole = pd.read_parquet(project / "iou.parquet")
    path = project.parents[3] / "params/evaluate.yaml"
    block = yaml.safe_load(path.read_text())
    block["street"]["sample"]["share"] = 0.5
    path.write_text(yaml.safe_dump(block))
    assert "judged on 1 clip " in evaluate.run("street", STUDENT)
    assert pd.read_parquet(project / "tc.parquet")["clip"].nunique() == 1
    assert whole["clip"].nunique() == 2
    pd.testing.assert_frame_equal(pd.read_parquet(project / "iou.parquet"), whole)
