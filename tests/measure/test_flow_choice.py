"""What ``--flow`` is taken for."""

import pickle

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow import methods
from etc.flow.io import write_flo
from etc.measure.flow_choice import choose_flow
from etc.measure.pairing import plan_clips
from etc.sources.folder.layouts import read_folder
from tests.commands import world


class Network:
    """Stands for a network in a file: the flow is that file's number everywhere."""

    def __init__(self, path, value_range="0..255", inputs=None):
        if not path.endswith("7.onnx"):
            raise UserError(f"{path}: no such network")
        self.value = 7.0 if inputs is None else {("0..1", ("a", "b")): 8.0}[value_range, inputs]

    def __call__(self, frame0, frame1):
        return np.full((*frame0.shape[:2], 2), self.value, np.float32)


def plan_of(root):
    (plan,) = plan_clips(read_folder(root / "predictions", [".png"]), read_folder(root / "frames", [".png"]))
    return plan


def test_a_file_of_a_network_is_built_in_the_process_that_uses_it(tmp_path, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "onnx", Network)
    choice = choose_flow("some/7.onnx", "medium")
    assert choice.label == "some/7.onnx"
    plan = plan_of(world.make(tmp_path, ("walk",), range(2)))
    provider = pickle.loads(pickle.dumps(choice.of_clip(plan, visibility=False, dense=False)))
    assert (provider.read(0, 1)[0] == 7).all()
    with pytest.raises(UserError, match="--flow some/8.onnx: some/8.onnx: no such network"):
        choose_flow("some/8.onnx", "medium")


def test_options_reach_the_method(tmp_path, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "onnx", Network)
    choice = choose_flow("7.onnx", "medium", ["value_range=0..1", "inputs=[a, b]"])
    assert choice.label == "7.onnx, value_range=0..1, inputs=[a, b]"
    plan = plan_of(world.make(tmp_path, ("walk",), range(2)))
    assert (choice.of_clip(plan, visibility=False, dense=False).read(0, 1)[0] == 8).all()


@pytest.mark.parametrize(
    ("flow", "option", "words"),
    [
        ("farneback", "levelz=3", r"--flow farneback: .*does not take the parameters \['levelz'\]"),
        ("farneback", "levels", "--flow-option levels: give name=value"),
        ("farneback", "levels=", "--flow-option levels=: give name=value"),
        ("farneback", "levels=[3", "--flow-option levels=.*not readable as YAML"),
        ("farneback", "levels=[[1]]", r"--flow-option levels=\[\[1\]\]: a list may hold plain values only"),
        ("farneback", "levels=[{a: 1}]", "a list may hold plain values only"),
        ("farneback", "levels=!!set {1}", "--flow-option levels=.*tag .*set is not allowed"),
        ("farneback", "levels={a: 1}", "--flow-option .*give name=value"),
        ("farneback", "levels={a: 1, a: 2}", '--flow-option levels=.*not readable as YAML: .* duplicate key "a"'),
        ("farneback", "levels=yes", "levels is .*yes.*, but must be int"),
        ("farneback", "levels=1:30", "levels is '1:30', but must be int"),
        ("farneback", "levels=2020-01-01", "--flow-option .*give name=value"),
        ("farneback", "levels=" + 9999 * "[", "--flow-option levels=.*not readable as YAML"),
        ("farneback", "levels=[1]", r"--flow farneback: .* levels is \(1,\), but must be int"),
        ("farneback", "levels=true", "levels is True, but must be int"),
        ("farneback", "levels=" + 40 * "9", "levels is 9+, but must lie between 1 and 64"),
        ("farneback", "sigma=.nan", "sigma is nan, but must be float"),
        ("farneback", "window=0", "window is 0, but must lie between 1 and 1000"),
        ("dis", "preset=3", "preset is 3, but must be str"),
        (".", "levels=3", r"flow is read from the folder \., not computed"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(flow, option, words):
    with pytest.raises(UserError, match=words):
        choose_flow(flow, "medium", [option])


def test_numbers_are_those_of_yaml_1_2():
    assert choose_flow("farneback", "medium", ["levels=010", "sigma=1e0"]).method.parameters == (
        ("levels", 10),
        ("sigma", 1.0),
    )


@pytest.mark.parametrize(("value", "levels"), [("010", 10), ("0o10", 8), ("0x10", 16), ("5 # five", 5)])
def test_an_option_is_read_as_parameter_files_are(value, levels):
    """YAML 1.2: PyYAML takes 010 for 8."""
    (found,) = choose_flow("farneback", "medium", [f"levels={value}"]).method.parameters
    assert found == ("levels", levels)


def test_methods_by_name():
    assert choose_flow("dis", "fast").label == "dis (fast)"
    assert choose_flow("farneback", "fast").label == "farneback"
    with pytest.raises(UserError, match="--flow nothing: no such folder, and unknown flow method"):
        choose_flow("nothing", "fast")


@pytest.mark.parametrize(
    ("names", "kind", "clips"),
    [
        (["walk/000_001", "walk/001_002", "ride/5_7"], "pairs", ["ride", "walk"]),
        (["ulm_000001_000002_000003_flow"], "pairs", ["ulm_000001"]),
        (["x/ulm_000001_000002", "x/ulm_000001_000003"], "forward", ["ulm_000001"]),
        (["ulm_000001_000002_leftImg8bit"], "forward", ["ulm_000001"]),
        (["0016E5_07959", "0006R0_f00930"], "forward", ["0006R0", "0016E5"]),
        (["walk/0001", "walk/0002"], "forward", ["walk"]),
        (["01_0001", "01_0002"], "forward", ["01"]),
        (["seq_01_0002", "seq_01_0003", "seq_01_0004"], "forward", ["seq_01"]),
        (["forward/walk/1", "backward/walk/2"], "forward", ["walk"]),
    ],
)
def test_folders_of_flow_files(tmp_path, names, kind, clips):
    for name in names:
        path = tmp_path / f"{name}.flo"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flo(path, np.zeros((2, 2, 2), np.float32))
    choice = choose_flow(str(tmp_path), "medium")
    found = choice.pairs if kind == "pairs" else choice.forward.clips
    assert sorted(found) == clips
    assert (choice.backward is not None) == names[0].startswith("forward")


def test_a_pair_with_two_files(tmp_path):
    for name in ("a/0_1.flo", "a/00_01.flo"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"a/00_01.flo and .*a/0_1.flo are both flow of clip 'a', pair \(0, 1\)"):
        choose_flow(str(tmp_path), "medium")


def flow_of(tmp_path, predicted, frames, flow, backward=()):
    """The flow of the clip ``walk``, predicted at these numbers, with flow files named by frame at those."""
    for folder, numbers, suffix in (("p", predicted, "png"), ("f", frames, "png"), ("flow/forward", flow, "flo")):
        for number in numbers:
            path = tmp_path / folder / f"walk/{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for number in backward:
        (tmp_path / "flow/backward/walk").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"flow/backward/walk/{number}.flo").touch()
    (plan,) = plan_clips(
        read_folder(tmp_path / "p", [".png"]), read_folder(tmp_path / "f", [".png"]) if frames else None
    )
    return choose_flow(str(tmp_path / "flow"), "medium").of_clip(plan, visibility=False, dense=False)


@pytest.mark.parametrize(
    ("predicted", "frames", "flow", "backward"),
    [
        (range(4), (), range(3), ()),
        (range(4), range(4), range(4), range(1, 4)),
        (range(0, 90, 30), (), range(0, 90, 30), ()),
        (range(0, 8, 2), range(0, 8, 2), range(0, 8, 2), ()),
        ((0, 1), (), (0,), ()),
        ((0, 2), range(0, 6, 2), (0,), ()),
        (range(4), (), (0, 2, 3), ()),
        ([10**18, 10**18 + 33, 10**18 + 67], (), [10**18, 10**18 + 33, 10**18 + 67], ()),
    ],
)
def test_flow_by_frame_leads_one_step_on(tmp_path, predicted, frames, flow, backward):
    flow_of(tmp_path, predicted, frames, flow, backward)


@pytest.mark.parametrize(
    ("predicted", "frames", "flow", "backward", "target"),
    [
        (range(0, 8, 2), (), range(8), (), 1),
        (range(0, 8, 2), range(8), range(0, 8, 2), (), 1),
        (range(0, 8, 2), range(0, 8, 2), range(8), (), 1),
        (range(0, 8, 2), (), range(0, 8, 2), range(8), 1),
        (range(8), (), range(0, 8, 2), (), 2),
        ((0, 2), (), (0,), (), 1),
    ],
)
def test_flow_by_frame_that_leads_elsewhere_is_refused(tmp_path, predicted, frames, flow, backward, target):
    words = f"leads one step on, from frame 0 to {target} of clip walk, but the prediction after 0 is of frame"
    with pytest.raises(UserError, match=rf"{words} .*give flow named by its pair, <clip>/0_\d.flo"):
        flow_of(tmp_path, predicted, frames, flow, backward)


@pytest.mark.parametrize("suffix", [".flo", ".png"])
def test_names_of_kitti_lead_to_the_next_frame(tmp_path, suffix):
    for scene in (0, 1, 2):
        (tmp_path / f"{scene:06}_10{suffix}").touch()
    choice = choose_flow(str(tmp_path), "medium")
    assert {clip: list(files) for clip, files in choice.pairs.items()} == {
        "000000": [(10, 11)],
        "000001": [(10, 11)],
        "000002": [(10, 11)],
    }


def test_pairs_without_a_clip_belong_to_the_only_clip(tmp_path):
    write_flo(tmp_path / "flow/0_1.flo", np.ones((48, 80, 2), np.float32))
    choice = choose_flow(str(tmp_path / "flow"), "medium")
    flow = choice.of_clip(plan_of(world.make(tmp_path, ("walk",), range(2))), visibility=False, dense=False)
    assert (flow.read(0, 1)[0] == 1).all()
    plan, _ = plan_clips(
        read_folder(world.make(tmp_path / "two", ("walk", "ride"), range(2)) / "predictions", [".png"])
    )
    with pytest.raises(UserError, match="no flow of clip ride .it has files without a clip name"):
        choice.of_clip(plan, visibility=False, dense=False)
