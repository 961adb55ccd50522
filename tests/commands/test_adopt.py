"""``etc adopt``: blocks of a new data set in all parameter files, and nothing else changed there."""

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml
from typer.testing import CliRunner

from etc.added_block import with_block
from etc.cli import app
from etc.core.errors import UserError
from etc.core.files import sha256, write_json
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.params import experiment
from etc.params.check import check_all, check_dataset

ROOT = Path(__file__).parents[2]
WALK = """
walk:
  source: folder
  root: own
  labels: labels
  classes: classes.yaml
  split: {train: 0.8, dev: 0.1, test: 0.1}
  annotated: 2
"""
DRIVE = """
drive:
  source: video
  root: own
  classes: street
  split: {train: 0.8, test: 0.2}
"""
STILLS = """
stills:  # labels that no training may use
  source: folder
  classes: cityscapes
  annotated: 0
"""
TEACHER = """
# Like street, by `etc adopt`.
drive:
  <<: *block
  tl: 2.0
  network: {<<: *network}
  motion: {<<: *motion}
  sampling: {<<: *sampling, pseudo_share: 1.0}
  training:
    <<: *training
    iterations: 100
    batch: 4
    lr: 0.05
    judge_every: null
    clip_gradient: 1.0
    class_weights: null
    augment:
      <<: *augment
      crop: [96, 192]
      scale: [0.75, 1.5]
    machine: {<<: *machine}
"""
CLASSES = """
classes:
  - {name: road, ids: [0, 7], colour: [128, 64, 128]}
  - {name: car, ids: [1], colour: [0, 0, 142]}
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project with the trained networks of street, and blocks of three new data sets in frames.yaml."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    with open("params/frames.yaml", "a") as stream:
        stream.write(WALK + DRIVE + STILLS)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/classes.yaml").write_text(CLASSES)
    trained("street")
    return tmp_path


def trained(owner, classes=STREET, widths=(16, 8), start="pspnet18"):
    for place, width in zip(("labeller/0", f"pretrained/{start}-0"), widths, strict=True):
        folder = Path("data", owner, place)
        write_json(
            folder / "config.json", {"architecture": "pspnet18", "width": width, "class_names": list(classes.names)}
        )
        (folder / "weights.safetensors").write_text(f"{owner} {place}")


def adopt(*arguments):
    return CliRunner().invoke(app, ["adopt", *arguments])


def texts():
    return {path.name: path.read_bytes() for path in Path("params").iterdir()}


def block(stage, name):
    return yaml.safe_load(Path(f"params/{stage}.yaml").read_text())[name]


def edit(name, old, new):
    path = Path("params") / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_data_without_labels_takes_the_networks_of_another_data_set(project):
    before = texts()
    result = adopt("drive", "--like", "street")
    assert result.exit_code == 0, result.output
    check_dataset(experiment.load(), "drive")
    for name, old in before.items():
        new = texts()[name]
        assert new.startswith(old)
        assert (new == old) == (name in ("frames.yaml", "experiment.yaml"))
    for stage, place in (("labeller", "labeller/0"), ("pretrain", "pretrained/pspnet18-0")):
        got = block(stage, "drive")
        assert got["checkpoint"] == f"data/street/{place}"
        assert got["checksum"] == sha256(Path(got["checkpoint"], "weights.safetensors"))[:12]
    for stage in ("labeller", "pretrain", "teacher", "student"):
        # Nor is there anything to judge by on dev.
        changed = {"class_weights": None, "judge_every": None, "keep": "last"}
        assert block(stage, "drive")["training"] == block(stage, "street")["training"] | changed
    assert block("student", "drive")["pseudo_shares"] == {}
    for stage in ("teacher", "student"):
        assert block(stage, "drive")["sampling"] == {"pseudo_share": 1.0, "partner_reach": 3}
    # The fine steps of exact flow hold only vectors up to 256 pixels.
    evaluate = {"method": "farneback", "visibility": "forward_backward", "steps_per_pixel": 16}
    assert block("flow", "drive")["evaluate"] == block("flow", "street")["evaluate"] | evaluate
    for stage in ("pseudo_labels", "evaluate", "report"):
        assert block(stage, "drive") == block(stage, "street")
    # What data sets share and the comments are not repeated.
    assert texts()["teacher.yaml"].removeprefix(before["teacher.yaml"]).decode() == TEACHER
    assert (
        "params/pretrain.yaml: block 'drive' like 'street'; changed: checkpoint: data/street/pretrained/"
        in result.output
    )
    assert "look at training.iterations: 100, training.augment.crop: [96, 192]" in result.output
    assert "To run it alone: etc adopt drive --run" in result.output


def test_data_with_labels_and_its_own_classes_is_trained_on():
    result = adopt("walk", "--like", "camvid")
    assert result.exit_code == 0, result.output
    assert adopt("walk", "--run").exit_code == 0 and check_all().architectures == ["efficientnet_lite0"]
    assert "checkpoint" not in block("labeller", "walk")
    assert block("teacher", "walk")["training"]["class_weights"] is None
    assert block("teacher", "walk")["sampling"] == block("teacher", "camvid")["sampling"]
    assert block("flow", "walk") == block("flow", "camvid")
    assert block("pseudo_labels", "walk") == block("pseudo_labels", "camvid")


def test_of_labelled_frames_some_are_left_to_pseudo_label():
    # Every second label is used, so every second frame would be one of these.
    edit("pseudo_labels.yaml", "  stride: 3", "  stride: 2")
    assert adopt("walk", "--like", "street").exit_code == 0
    assert block("pseudo_labels", "walk") == block("pseudo_labels", "street") | {"stride": 1}


def test_class_weights_stay_for_the_same_classes():
    edit("frames.yaml", "classes: classes.yaml", "classes: cityscapes")
    assert adopt("walk", "--like", "cityscapes_small").exit_code == 0
    for stage in ("labeller", "pretrain", "teacher", "student"):
        assert block(stage, "walk") == block(stage, "cityscapes_small")


@pytest.mark.parametrize(("size", "steps"), [((720, 1280), 16), ((2160, 3840), 8), (None, 16)])
def test_flow_is_stored_in_steps_that_hold_its_vectors(size, steps):
    if size:
        write_manifest("drive", *size)
    assert adopt("drive", "--like", "street").exit_code == 0
    assert {purpose: one["steps_per_pixel"] for purpose, one in block("flow", "drive").items()} == dict.fromkeys(
        ("train", "evaluate", "compare"), steps
    )


def write_manifest(dataset, height, width):
    """The two columns of a manifest that say how large the frames are."""
    Path("data", dataset).mkdir(parents=True, exist_ok=True)
    table = pa.table({"height": [16, height], "width": [16, width]})
    pq.write_table(table, f"data/{dataset}/frames.parquet")


def test_the_blocks_and_commands_of_the_documents_work_as_written(project, monkeypatch):
    text = (ROOT / "docs/datasets.md").read_text()
    blocks = re.findall(r"^```yaml\n((?:walk|drive):\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = Path("params/frames.yaml")
    path.write_text((ROOT / "params/frames.yaml").read_text() + "\n".join(["", *blocks]))
    monkeypatch.setenv("HOME", str(project))
    Path("videos/walk").mkdir(parents=True)
    Path("videos/walk/classes.yaml").write_text(CLASSES)
    commands = re.findall(r"^etc (adopt (\w+) --like \w+)", text, re.MULTILINE)
    assert len(blocks) == 2 and [name for _, name in commands] == ["walk", "drive"]
    for command, name in commands:
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, result.output
        # Frames of 16:9 of the height that the block of drive asks for: the flow of each purpose can be stored.
        write_manifest(name, 256, 456)
        assert adopt(name, "--run").exit_code == 0


def test_steps_too_fine_for_the_frames_are_refused_with_their_key():
    assert adopt("drive", "--like", "street", "--run").exit_code == 0
    edit("flow.yaml", "steps_per_pixel: 16\n", "steps_per_pixel: 128\n")
    check_all()
    write_manifest("drive", 256, 344)
    message = (
        r"params/flow.yaml: key 'drive.train.steps_per_pixel' = 128: .* of 344x256 pixels; use at most 95 \(data/drive"
    )
    with pytest.raises(UserError, match=message):
        check_all()
    edit("frames.yaml", "  source: video\n", "  source: video\n  height: 128\n")
    # The manifest is of an earlier height.
    check_all()


def test_the_paper_s_clips_are_those_of_cityscapes_alone():
    trained("cityscapes", CITYSCAPES, (64, 64))
    edit("teacher.yaml", "pspnet101", "pspnet18")
    assert adopt("stills", "--like", "cityscapes").exit_code == 0
    assert block("evaluate", "stills")["sample"]["clips"] is None
    with open("params/frames.yaml", "a") as stream:
        stream.write("\nall_cities:\n  source: cityscapes\n")
    assert adopt("all_cities", "--like", "cityscapes").exit_code == 0
    assert block("evaluate", "all_cities")["sample"]["clips"] == "cityscapes_tc"


def test_rendered_frames_keep_their_exact_flow():
    with open("params/frames.yaml", "a") as stream:
        stream.write("\nstreet_large:\n  source: street\n  height: 256\n  width: 512\n")
    assert adopt("street_large", "--like", "street").exit_code == 0
    for stage in ("labeller", "pretrain", "teacher", "student"):
        expected = block(stage, "street")
        training = expected["training"] | {"judge_every": None, "keep": "last"}
        assert block(stage, "street_large") == expected | {"training": training}
    # Twice as wide, so half as fine.
    evaluate = block("flow", "street")["evaluate"] | {"steps_per_pixel": 64}
    assert block("flow", "street_large") == block("flow", "street") | {"evaluate": evaluate}


def test_networks_of_another_data_set_are_taken_on_request():
    trained("big", CITYSCAPES, (64, 64))
    edit("teacher.yaml", "pspnet101", "pspnet18")
    edit("frames.yaml", "classes: classes.yaml", "classes: cityscapes")
    assert adopt("walk", "--like", "cityscapes", "--networks-of", "big").exit_code == 0
    assert block("labeller", "walk")["checkpoint"] == "data/big/labeller/0"
    # It has labels; teacher and students are trained on them as before.
    assert block("teacher", "walk") == block("teacher", "cityscapes")


def test_an_adopted_data_set_can_be_copied_in_turn():
    assert adopt("drive", "--like", "street").exit_code == 0
    trained("drive")
    with open("params/frames.yaml", "a") as stream:
        stream.write(DRIVE.replace("drive", "ride"))
    assert adopt("ride", "--like", "drive").exit_code == 0
    assert block("labeller", "ride")["checkpoint"] == "data/drive/labeller/0"
    assert block("labeller", "ride")["checksum"] != block("labeller", "drive")["checksum"]
    assert block("student", "ride") == block("student", "drive")


@pytest.mark.parametrize("text", ["0123", "12e456789012", "1e5", "0x1f", "yes", "null", "1_000", "01:30", "2024-01-01"])
def test_a_text_that_looks_like_a_number_is_written_as_text(text):
    path = Path("params/labeller.yaml")
    new = with_block(path, path.read_text(), "street", "drive", {("checksum",): text})
    path.write_text(new)
    assert load_yaml(path)["drive"]["checksum"] == yaml.safe_load(new)["drive"]["checksum"] == text


def test_run_chooses_it_and_keeps_the_comments():
    before = Path("params/experiment.yaml").read_text()
    result = adopt("drive", "--like", "street", "--run")
    assert result.exit_code == 0 and "params/experiment.yaml: run: [drive]" in result.output
    assert Path("params/experiment.yaml").read_text() == before.replace("run: [street]", "run: [drive]")
    assert check_all().run == ["drive"]


def test_run_alone_chooses_what_has_its_blocks_with_the_networks_that_it_has():
    before = Path("params/experiment.yaml").read_text()
    result = adopt("camvid", "--run")
    line = "params/experiment.yaml: run: [camvid], architectures: [efficientnet_lite0]"
    assert result.exit_code == 0 and result.output == f"{line}\n"
    chosen = before.replace("run: [street]", "run: [camvid]").replace("[pspnet18]", "[efficientnet_lite0]")
    assert Path("params/experiment.yaml").read_text() == chosen
    assert adopt("camvid", "--run").output == result.output and Path("params/experiment.yaml").read_text() == chosen


def test_a_choice_that_fails_the_check_changes_nothing():
    before = texts()
    edit("experiment.yaml", "distilled: [etc]", "distilled: [etc, all]")
    edited = texts()
    result = adopt("camvid", "--run")
    assert result.exit_code == 1 and "scheme 'all' is not in params/student.yaml" in result.output
    assert "params/ is as it was" in result.output and texts() == edited != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--like", "street"], "params/frames.yaml: no block for data set 'nowhere'"),
        (["camvid"], "say --like DATASET to add blocks, or --run alone"),
        (["camvid", "--run", "--networks-of", "street"], "say --like DATASET to add blocks, or --run alone"),
        (["drive", "--run"], "params/student.yaml: no block for data set 'drive'; `etc adopt drive --like DATASET`"),
        (["My-Walk", "--like", "street"], "My-Walk: use only letters, digits and '_'"),
        (
            ["walk", "--like", "kitti"],
            "--like kitti: params/frames.yaml has no such block to copy; choose one of street,",
        ),
        (["walk", "--like", "walk"], "--like walk: params/frames.yaml has no such block to copy"),
        (["walk", "--like", "drive"], "--like drive: params/labeller.yaml has no such block to copy"),
        (["camvid", "--like", "street"], "params/labeller.yaml, .*: block 'camvid' exists already"),
        (
            ["drive", "--like", "street", "--networks-of", "camvid"],
            "data/camvid/labeller/0/weights.safetensors: no such file; 'drive' needs this network: run the chain for "
            "'camvid' first",
        ),
        (
            ["stills", "--like", "street"],
            "data/street/labeller/0: trained on the classes road, .* the data set 'stills' has road,",
        ),
        (
            ["drive", "--like", "cityscapes", "--networks-of", "street"],
            "data/street/labeller/0: pspnet18 of width 16, but key 'network' in params/teacher.yaml .* pspnet101",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, message):
    before = texts()
    refused(arguments, message)
    assert texts() == before


def refused(arguments, message):
    """The command ends with one line."""
    result = adopt(*arguments)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert re.search(message, line), line


def test_classes_that_are_not_found_are_named_with_the_block():
    Path("own/classes.yaml").unlink()
    refused(["walk", "--like", "street"], "params/frames.yaml: block 'walk': classes: no file .*own/classes.yaml")


def test_one_network_starts_the_students_of_one_architecture():
    edit("experiment.yaml", "architectures: [pspnet18]", "architectures: [pspnet18, bisenetv2]")
    edit("student.yaml", "    pspnet18: 8", "    pspnet18: 8\n    bisenetv2: 8")
    refused(["drive", "--like", "street"], "key 'architectures' lists pspnet18, bisenetv2, but .* leave one")


def test_labels_are_not_left_unused():
    assert adopt("drive", "--like", "street").exit_code == 0
    refused(["walk", "--like", "drive"], "--like drive: it takes trained networks, but 'walk' has labels")


def test_a_block_in_one_file_alone_is_enough_to_refuse():
    with open("params/report.yaml", "a") as stream:
        stream.write("walk: {}\n")
    before = texts()
    refused(["walk", "--like", "street"], "^error: params/report.yaml: block 'walk' exists already")
    assert texts() == before


def test_files_are_unchanged_when_the_new_blocks_fail_the_check():
    # camvid is not in use: its blocks have not been checked before.
    start, rest = Path("params/teacher.yaml").read_text().split("camvid:\n")
    far = rest.replace("{<<: *sampling}", "{<<: *sampling, partner_reach: 9}", 1)
    Path("params/teacher.yaml").write_text(f"{start}camvid:\n{far}")
    before = texts()
    refused(
        ["walk", "--like", "camvid", "--run"],
        "teacher.yaml: key 'walk.sampling.partner_reach' = 9: .*params/ is as it was",
    )
    assert texts() == before


def test_files_are_unchanged_when_one_cannot_be_written(monkeypatch):
    from etc import adopt as module

    write = module._replace

    def full(path, content):
        if path.name == "student.yaml":
            raise UserError(f"{path}: the disk is full")
        write(path, content)

    monkeypatch.setattr(module, "_replace", full)
    before = texts()
    refused(["walk", "--like", "camvid"], "params/student.yaml: the disk is full; params/ is as it was")
    assert texts() == before


def test_a_missing_block_is_answered_with_the_command():
    edit("experiment.yaml", "run: [street]", "run: [street, walk]")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    assert "params/labeller.yaml: no block for data set 'walk'; `etc adopt walk --like DATASET`" in result.output


def test_tuning_the_copied_data_set_leaves_the_adopted_one_unchanged():
    assert adopt("drive", "--like", "street").exit_code == 0
    adopted = block("student", "drive")
    apply_overrides(
        "params/student.yaml", ["street.training.lr=9", "street.schemes.tl.tl=9", "street.losses.mf.grid=9"]
    )
    assert block("student", "street")["training"]["lr"] == 9
    assert block("student", "drive") == adopted


def test_windows_line_ends_stay():
    files = ("report.yaml", "experiment.yaml")
    for name in files:
        Path("params", name).write_bytes(texts()[name].replace(b"\n", b"\r\n"))
    assert adopt("walk", "--like", "street", "--run").exit_code == 0
    for name in files:
        assert texts()[name].count(b"\r\n") == texts()[name].count(b"\n")
    assert check_all().run == ["walk"]


# Reports: a block that differs in how it is written.
FULL = """\
street:  # the first
  baseline: 'baseline'  # quoted
  compare:
  - etc

  confidence: 0.95
  frequent_share: 0.001
  plots: &plots
    dpi: 110
    smoothing: 25
  strip: {frames: 5, panel_width: 256}
  overlay: {frames: 30, panel_width: 320, opacity: 0.6, milliseconds: 250, quality: 70}
"""


@pytest.mark.parametrize("end", ["", "# The end.\n", "\n\n"])
def test_a_block_may_be_written_in_any_style(end):
    path = Path("params/report.yaml")
    text = (FULL + end).removesuffix("" if end else "\n")
    path.write_text(text)
    assert adopt("walk", "--like", "street").exit_code == 0
    assert path.read_text().startswith(text)
    assert block("report", "walk") == block("report", "street") == yaml.safe_load(FULL)["street"]


@pytest.mark.parametrize(
    "run", ["run:\n- street\n", "run:\n  - street  # the first\n", "run: [street]\n", "run:\n  [street,\n  walk]\n"]
)
def test_the_list_of_data_sets_may_be_written_in_any_style(run):
    edit("experiment.yaml", "run: [street]\n", run)
    assert adopt("walk", "--like", "street", "--run").exit_code == 0
    assert check_all().run == ["walk"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("report.yaml", "street:\n", "street: &street\n", ""),
        ("report.yaml", "\nstreet:", "\nkitti: {}\nstreet:", ""),
        ("report.yaml", "# The report", "---\n# The report", ""),
        ("teacher.yaml", "{<<: *sampling}", "*sampling", "block 'street' has no mapping 'sampling' of its own"),
    ],
)
def test_unusual_files(file, old, new, message):
    edit(file, old, new)
    result = adopt("drive", "--like", "street")
    assert (result.exit_code, message in result.output) == (1 if message else 0, True)


def test_a_file_that_nothing_can_be_added_to_is_refused():
    path = Path("params/report.yaml")
    path.write_text(path.read_text() + "...\n")
    before = texts()
    refused(["drive", "--like", "street"], "params/report.yaml: .* add block 'drive' by hand")
    assert texts() == before


def test_a_file_linked_from_elsewhere_is_edited_where_it_lies(tmp_path):
    path = Path("params/student.yaml")
    elsewhere = path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(elsewhere)
    assert adopt("walk", "--like", "street").exit_code == 0
    assert path.is_symlink() and "walk:" in elsewhere.read_text()
