"""The parameter files that ship: valid, each key commented once, and no data set that changes another one."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from etc.core.errors import UserError
from etc.core.params_file import Params
from etc.params import check, evaluate, experiment, flow, labeller, pretrain, pseudo_labels, report, student, teacher

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "params").glob("*.yaml"))
PER_DATASET = [path for path in FILES if path.name != "experiment.yaml"]
# The model of a block of each file; a block of frames.yaml has the model of its source.
MODELS = {
    "evaluate.yaml": evaluate.EvaluateParams,
    "flow.yaml": flow.FlowBlock,
    "labeller.yaml": labeller.LabellerParams,
    "pretrain.yaml": pretrain.PretrainParams,
    "pseudo_labels.yaml": pseudo_labels.PseudoLabelParams,
    "report.yaml": report.ReportParams,
    "student.yaml": student.StudentParams,
    "teacher.yaml": teacher.TeacherParams,
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(project, name, old, new):
    path = project / "params" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_all_files_pass_the_check(project):
    assert check.check_all().run == ["street"]
    blocks = ["street", "street_long", "cityscapes"]
    edit(project, "experiment.yaml", "run: [street]", f"run: [{', '.join(blocks)}]")
    assert check.check_all().run == blocks
    light = ["camvid", "camvid_images", "cityscapes_small", "cityscapes_lite0"]
    edit(project, "experiment.yaml", f"run: [{', '.join(blocks)}]", f"run: [{', '.join(light)}]")
    with pytest.raises(UserError, match=r"student.yaml: key 'camvid.widths': .*'pspnet18', .*`etc adopt camvid --run`"):
        check.check_all()
    edit(project, "experiment.yaml", "[pspnet18]", "[efficientnet_lite0]")
    assert check.check_all().run == light


@pytest.mark.parametrize("both", [True, False])
def test_the_old_name_of_the_experiment_file_is_answered_with_the_new_one(project, both):
    old, new = project / "params/data.yaml", project / "params/experiment.yaml"
    shutil.copy(new, old)
    if not both:
        new.unlink()
    message = (
        "^params/data.yaml: this file is called params/experiment.yaml now; move .* there and delete params/data.yaml$"
    )
    with pytest.raises(UserError, match=message):
        check.check_all()


def comments(path):
    """How many comments stand above or beside each key, by the mapping that the key is in (none: '') and its name."""
    text = path.read_text()
    lines, found, seen = text.splitlines(), Counter(), set()
    # Keys that no block has are explained at the head of the file.
    found.update(("", key) for key in re.findall(r"^# ([a-z]+): ", text, re.MULTILINE))

    def visit(node, owner):
        if not isinstance(node, yaml.MappingNode) or id(node) in seen:
            return
        seen.add(id(node))
        for key, value in node.value:
            line = lines[key.start_mark.line]
            if line.strip().startswith(key.value):
                above = lines[key.start_mark.line - 1].strip()
                found[owner, key.value] += above.startswith("#") or bool(re.search(r"  # ", line))
            visit(value, key.value)

    for name, block in yaml.compose(text).value:
        sections = block.value if name.value == ".shared" else [(name, block)]
        for section, node in sections:
            own = section.value in (name.value, "block")
            if not own:
                line = section.start_mark.line
                found["", section.value] += lines[line - 1].strip().startswith("#")
            visit(node, "" if own else {"judge": "train"}.get(section.value, section.value))
    return found


def leaves(model, owner=""):
    """The keys of a model and of the models in it that hold values, each with the mapping that it is in."""
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Params):
            # The flow of all purposes has the same keys.
            yield from leaves(field.annotation, {"evaluate": "train", "compare": "train"}.get(key, key))
        else:
            yield owner, key


@pytest.mark.parametrize("name", MODELS)
def test_every_key_of_a_block_is_explained_once(name):
    found = comments(ROOT / "params" / name)
    assert {key: found[key] for key in leaves(MODELS[name])} == dict.fromkeys(leaves(MODELS[name]), 1)
    assert max(found.values()) == 1


def test_every_key_of_frames_and_experiment_is_explained_once():
    found = comments(ROOT / "params/frames.yaml")
    assert max(found.values()) == 1
    explained = {key for key, number in found.items() if number}
    # A mapping may be explained as a whole.
    assert not [key for key in set(found) - explained if ("", key[0]) not in explained]
    text = (ROOT / "params/experiment.yaml").read_text()
    for key in experiment.ExperimentParams.model_fields:
        assert len(re.findall(rf"^# .*\n{key}:", text, re.MULTILINE)) == 1


def mappings(value):
    """A mapping and all mappings in it."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from mappings(inner)


@pytest.mark.parametrize("path", PER_DATASET, ids=lambda path: path.name)
def test_no_data_set_shares_a_mapping(path):
    """Setting a key in a mapping, as `dvc exp run -S` does, would set it for every data set that shares it."""
    owners = {}
    for name, block in yaml.safe_load(path.read_text()).items():
        for mapping in mappings(block):
            assert owners.setdefault(id(mapping), name) == name


def values(block, keys=()):
    """All values of a block with their key paths."""
    for key, value in block.items():
        if isinstance(value, dict) and value:
            yield from values(value, (*keys, key))
        else:
            yield (*keys, key), value


@pytest.mark.parametrize("path", PER_DATASET, ids=lambda path: path.name)
def test_tuning_one_data_set_changes_no_other(path, tmp_path):
    """Every key is set, by the code behind `dvc exp run -S`, of one data set after the other."""
    file = tmp_path / path.name
    before = yaml.safe_load(path.read_text())
    for name in set(before) - {".shared"}:
        shutil.copy(path, file)
        tuned = list(dict(values(before[name])))
        apply_overrides(file, [f"{'.'.join((name, *keys))}=tuned" for keys in tuned])
        after = yaml.safe_load(file.read_text())
        assert dict(values(after.pop(name))) == dict.fromkeys(tuned, "tuned")
        assert after == {other: block for other, block in before.items() if other != name}


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([("experiment", "distilled: [etc]", "distilled: [ect]")], r"key 'distilled'.*'ect'.*known: .*etc"),
        (
            [("experiment", "architectures: [pspnet18]", "architectures: [segformer-b0]")],
            r"experiment.yaml: key 'architectures' = 'segformer-b0': .*'widths' in params/student.yaml",
        ),
        (
            [("experiment", "architectures: [pspnet18]", "architectures: [segformer]")],
            "student.yaml: key 'street.widths': no width for 'segformer', .*; given: pspnet18; "
            "`etc adopt street --run` runs this data set alone",
        ),
        (
            [("teacher", "architecture: pspnet18", "architecture: pspnet19")],
            "teacher.yaml: key 'street.network'.*unknown architecture 'pspnet19'",
        ),
        (
            [("teacher", "architecture: pspnet18", "architecture: hf:some/model")],
            "teacher.yaml: key 'street.network'.*architecture 'hf:some/model' with width 16",
        ),
        (
            [("teacher", "width: 16", "width: null")],
            "teacher.yaml: key 'street.network'.*architecture 'pspnet18' with width None",
        ),
        (
            [
                ("experiment", "baseline, tl]", "baseline, sf_tl]"),
                ("experiment", "sf_pf_mf, sf_tl]", "sf_pf_mf]"),
            ],
            "'sf_tl' learns from the teacher",
        ),
        (
            [("experiment", "distilled: [etc]", "distilled: [etc, sf]")],
            "experiment.yaml: scheme 'sf' is listed twice; keep it in one of plain, distilled, ablation.schemes$",
        ),
        (
            [("experiment", "  seeds: [0]", "  seeds: [0, 3]")],
            r"key 'ablation.seeds' = \[0, 3\]: there is no chain 3; choose among \[0, 1, 2\]$",
        ),
        (
            [("student", "{baseline_long: 4.5}", "{baseline_lang: 4.5}")],
            "iterations_factor: scheme 'baseline_lang' is not in 'schemes'; known: base",
        ),
        (
            [("experiment", "architectures: [pspnet18]", "architectures: [pretrained]")],
            "key 'architectures' = 'pretrained': the start of the students has this name",
        ),
        (
            [("labeller", "    backbone: null", "    backbone: installed")],
            "labeller.yaml: key 'street.training.backbone' = 'installed': packages have .* not of pspnet18 of width 16",
        ),
        (
            [("pretrain", "    freeze_bn: false", "    freeze_bn: true")],
            "pretrain.yaml: key 'street.training.freeze_bn' = true: .* give 'backbone'",
        ),
        (
            [("teacher", "class_weights: [0.6, 1.2, 0.7, 1.8, 1.0, 1.0, 2.2, 1.4, 1.3]", "class_weights: []")],
            "key 'street.training.class_weights' = .*at least 1 item",
        ),
        (
            [("teacher", "class_weights: [0.6, ", "class_weights: [-0.6, ")],
            r"teacher.yaml: key 'street.training.class_weights.0' = -0.6: .*greater than or equal to 0",
        ),
        (
            [("teacher", "class_weights: [0.6, 1.2, 0.7, 1.8, 1.0, 1.0, 2.2, 1.4, 1.3]", "class_weights: [0, 0.0]")],
            "class_weights: all are 0",
        ),
        (
            [("student", "pseudo_shares: {pseudo: 0.5}", "pseudo_shares: {pseuda: 0.5}")],
            "pseudo_shares: scheme 'pseuda' is not in 'schemes'; known: base",
        ),
        (
            [("experiment", "run: [street]", "run: [street, kitti]")],
            "frames.yaml: no block for data set 'kitti'",
        ),
        (
            [("frames", "source: camvid\n", "source: kitti\n"), ("experiment", "run: [street]", "run: [camvid]")],
            r"key 'camvid.source' = 'kitti': no such source; use one of street, camvid",
        ),
        (
            [("frames", "source: camvid\n", "source: [camvid]\n"), ("experiment", "run: [street]", "run: [camvid]")],
            r"key 'camvid.source' = \['camvid'\]: no such source; use one of",
        ),
        # Found only after all is trained, the report would have nothing to show.
        ([("evaluate", "sample_clips: 3", "sample_clips: 0")], r"evaluate.yaml: key 'street.sample_clips' = 0: .*1"),
    ],
)
def test_names_that_do_not_fit_together_are_refused(project, edits, message):
    for name, old, new in edits:
        edit(project, f"{name}.yaml", old, new)
    with pytest.raises(UserError, match=message):
        check.check_all()


def test_hugging_face_teacher_and_student_pass_the_check(project):
    edit(project, "teacher.yaml", "architecture: pspnet18", "architecture: hf:some/model")
    edit(project, "teacher.yaml", "width: 16", "width: null")
    edit(project, "student.yaml", "pspnet18: 8", "segformer: hf:some/model")
    edit(project, "experiment.yaml", "architectures: [pspnet18]", "architectures: [segformer]")
    assert check.check_all().architectures == ["segformer"]


def put(project, name, value, *keys):
    """Set one parameter of the data set street."""
    path = project / "params" / name
    content = yaml.safe_load(path.read_text())
    owner = content["street"]
    for key in keys[:-1]:
        owner = owner[key]
    owner[keys[-1]] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize("name", ["teacher.yaml", "student.yaml"])
def test_a_partner_beyond_the_flow_is_refused(project, name):
    put(project, "teacher.yaml", 1.0, "tl")
    for file in ("teacher.yaml", "student.yaml"):
        put(project, file, 4 if file == name else 3, "sampling", "partner_reach")
    put(project, "flow.yaml", 3, "train", "max_offset")
    with pytest.raises(UserError, match=rf"{name}: key 'street.sampling.partner_reach' = 4: .* at most 3, or raise"):
        check.check_all()
    put(project, "flow.yaml", 4, "train", "max_offset")
    check.check_all()


def test_without_tl_the_partner_needs_no_flow(project):
    put(project, "flow.yaml", 3, "train", "max_offset")
    put(project, "teacher.yaml", 0, "tl")
    put(project, "teacher.yaml", 4, "sampling", "partner_reach")
    check.check_all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("run: [street]", "run: [street, Street]", "'run' = .*'Street' is listed twice"),
        ("run: [street]", "run: []", r"'run' = \[\]: .*at least 1 item"),
        ("run: [street]", "run: street", "'run' = 'street': .*list"),
        ("run: [street]", "run: [../street]", "'run.0' = '../street': use only letters, digits and '_'"),
        ("run: [street]", 'run: ["street\\n"]', "'run.0' = .*use only letters"),
        ("architectures: [pspnet18]", "architectures: []", "'architectures' = .*at least 1 item"),
        (
            "architectures: [pspnet18]",
            "architectures: [pspnet18, pspnet18]",
            "'architectures' = .*'pspnet18' is listed twice",
        ),
        ("[baseline, tl]", "[baseline, tl-3]", "'plain.1' = 'tl-3': use only letters"),
        ("[baseline, tl]", "[baseline, tl, tl]", "'plain' = .*'tl' is listed twice"),
        ("[0, 1, 2]", "[0, true]", "'seeds.1' = True: .*valid integer"),
        ("[0, 1, 2]", "[0, 1.0]", "'seeds.1' = 1.0: .*valid integer"),
        ("[0, 1, 2]", "['0']", "'seeds.0' = '0': .*valid integer"),
        ("[0, 1, 2]", "[-1]", r"'seeds.0' = -1: .*greater than or equal to 0"),
        ("[0, 1, 2]", "[2147483648]", "'seeds.0' = 2147483648: .*less than or equal to 2147483647"),
        ("[0, 1, 2]", f"[1{'0' * 40}]", "'seeds.0' = 10+: .*less than or equal to 2147483647"),
        ("[0, 1, 2]", "[0, 0]", "'seeds' = .*a seed is listed twice"),
        ("[0, 1, 2]", "[]", "'seeds' = .*at least 1 item"),
        ("  seeds: [0]", "  seeds: [0, 0]", "'ablation.seeds' = .*a seed is listed twice"),
        ("  seeds: [0]", "  seeds: []", "'ablation.seeds' = .*at least 1 item"),
    ],
)
def test_names_and_seeds_that_cannot_be_run_are_refused(project, old, new, message):
    edit(project, "experiment.yaml", old, new)
    with pytest.raises(UserError, match=f"^params/experiment.yaml: key {message}"):
        check.check_all()


@pytest.mark.parametrize("groups", [("plain", "distilled"), ("plain",), ("distilled",)])
def test_an_experiment_of_before_is_answered_with_what_to_write(project, groups):
    content = yaml.safe_load((project / "params/experiment.yaml").read_text())
    for name in groups:
        content[name] = {"schemes": content[name], "seeds": content["seeds"]}
    del content["seeds"]
    (project / "params/experiment.yaml").write_text(yaml.safe_dump(content))
    named = " and ".join(f"'{name}'" for name in groups)
    message = f"^params/experiment.yaml: {named}: seeds are those of chains now .* write `seeds: .0, 1, 2.` once, then"
    with pytest.raises(UserError, match=message):
        check.check_all()


def test_there_need_be_no_ablation(project):
    edit(project, "experiment.yaml", "[baseline_long, pseudo, sf, sf_mf, sf_pf_mf, sf_tl]", "[]")
    assert {run.scheme for run in check.check_all().runs()} == {"baseline", "tl", "etc"}
    edit(project, "experiment.yaml", "distilled: [etc]", "distilled: []")
    edit(project, "report.yaml", "compare: [etc]", "compare: [tl]")
    assert {run.scheme for run in check.check_all().runs()} == {"baseline", "tl"}


@pytest.mark.parametrize(
    ("name", "old", "new", "key"),
    [
        ("frames.yaml", "root: null  # its", "root: data/camvid/root  # its", "root"),
        ("frames.yaml", "root: null  # its", "root: work/camvid/a.zip  # its", "root"),
        (
            "flow.yaml",
            "evaluate: {<<: *judge, method: farneback}",
            "evaluate: {<<: *judge, method: folder, path: data/camvid/flow/evaluate}",
            "evaluate.path",
        ),
        (
            "labeller.yaml",
            "camvid:\n",
            "camvid:\n  checkpoint: data/camvid/labeller/0\n  checksum: '01234567'\n",
            "checkpoint",
        ),
    ],
)
def test_own_files_where_stages_delete_are_refused_before_anything_runs(project, name, old, new, key):
    edit(project, "experiment.yaml", "run: [street]", "run: [camvid]")
    edit(project, "experiment.yaml", "[pspnet18]", "[efficientnet_lite0]")
    check.check_all()
    edit(project, name, old, new)
    with pytest.raises(UserError, match=f"{name}: key 'camvid.{key}' = '.*': lies in .*, which stages of 'camvid' del"):
        check.check_all()


def test_a_path_that_no_system_takes_is_named(project):
    edit(project, "experiment.yaml", "run: [street]", "run: [camvid]")
    edit(project, "experiment.yaml", "[pspnet18]", "[efficientnet_lite0]")
    edit(project, "frames.yaml", "root: null  # its", 'root: "a\\0b"  # its')
    with pytest.raises(UserError, match=r"frames.yaml: key 'camvid.root' = 'a\\x00b': no path holds the character"):
        check.check_all()


def test_runs_are_all_combinations_in_table_order(project):
    names = [run.name for run in experiment.load().runs()]
    content = yaml.safe_load((project / "params/experiment.yaml").read_text())
    everywhere, some = len(content["plain"]) + len(content["distilled"]), content["ablation"]
    expected = everywhere * len(content["seeds"]) + len(some["schemes"]) * len(some["seeds"])
    assert len(names) == len(set(names)) == expected * len(content["architectures"])
    assert names[0] == "pspnet18-baseline-0"


def test_each_chain_has_a_labeller_and_a_teacher(project):
    edit(project, "experiment.yaml", "[0, 1, 2]", "[7, 0]")
    networks = experiment.load().networks()
    assert [one.name for one in networks] == ["labeller-7", "labeller-0", "teacher-7", "teacher-0"]
    assert [one.folder for one in networks] == ["labeller/7", "labeller/0", "teacher/7", "teacher/0"]
