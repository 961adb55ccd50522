"""The parameter files that ship are valid, and each key is explained by a comment."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from etc.core.errors import UserError
from etc.params import check
from etc.params import experiment as data

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "params").glob("*.yaml"))


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
    edit(project, "data.yaml", "run: [street]", "run: [street, camvid, cityscapes, cityscapes_small]")
    assert len(check.check_all().run) == 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_follows_a_comment(path):
    lines = path.read_text().splitlines()
    block, first, explained = "", "", set()
    # Keys inside {...} and those of blocks per data set or purpose are explained by the comment above the block. What
    # the first block explains need not be explained again.
    for number, line in enumerate(lines):
        match = re.match(r"( *)([a-z_0-9]+):", line)
        if match and not match.group(1):
            block = match.group(2)
            first = first or block
        if not match or not match.group(1) or line.rstrip().endswith(":"):
            continue
        above = lines[number - 1].strip()
        if above.startswith("#") or "#" in line or explained_by_block(lines, number):
            explained.add(match.group(2))
        else:
            later = block != first and match.group(2) in explained
            assert later, f"{path.name}:{number + 1}: no comment for '{match.group(2)}'"


def explained_by_block(lines, number):
    """A run of keys of one depth may share the comment above the first of them."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    for line in reversed(lines[:number]):
        if line.strip().startswith("#"):
            return True
        if not line.strip() or len(line) - len(line.lstrip()) < depth - 2:
            return False
    return False


def test_unknown_scheme_is_named_with_the_known_ones(project):
    edit(project, "data.yaml", "schemes: [etc]", "schemes: [ect]")
    with pytest.raises(UserError, match=r"distilled.schemes.*'ect'.*known: .*etc"):
        check.check_all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("segformer-b0", r"data.yaml: key 'architectures' = 'segformer-b0': .*'widths' of params/student.yaml"),
        ("segformer", "student.yaml: no width for 'segformer' under 'widths'; given: pspnet18"),
    ],
)
def test_architecture_that_cannot_run_is_named(project, name, message):
    edit(project, "data.yaml", "architectures: [pspnet18]", f"architectures: [{name}]")
    with pytest.raises(UserError, match=message):
        check.check_all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("architecture: pspnet18", "architecture: pspnet19", "unknown architecture 'pspnet19'"),
        ("architecture: pspnet18", "architecture: hf:some/model", "architecture 'hf:some/model' with width 16"),
        ("width: 16", "width: null", "architecture 'pspnet18' with width None"),
    ],
)
def test_teacher_that_cannot_be_built_is_named(project, old, new, message):
    edit(project, "teacher.yaml", old, new)
    with pytest.raises(UserError, match=f"teacher.yaml: key 'street.network'.*{message}"):
        check.check_all()


def test_hugging_face_teacher_and_student_pass_the_check(project):
    edit(project, "teacher.yaml", "architecture: pspnet18", "architecture: hf:some/model")
    edit(project, "teacher.yaml", "width: 16", "width: null")
    edit(project, "student.yaml", "pspnet18: 8", "segformer: hf:some/model")
    edit(project, "data.yaml", "architectures: [pspnet18]", "architectures: [segformer]")
    assert check.check_all().architectures == ["segformer"]


def test_distilling_scheme_in_the_plain_group_is_refused(project):
    edit(project, "data.yaml", "schemes: [baseline, tl]", "schemes: [baseline, sf_tl]")
    edit(project, "data.yaml", "sf_pf_mf, sf_tl]", "sf_pf_mf]")
    with pytest.raises(UserError, match="'sf_tl' learns from the teacher"):
        check.check_all()


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


def test_a_run_may_not_stand_in_two_groups(project):
    edit(project, "data.yaml", "schemes: [etc]", "schemes: [etc, sf]")
    with pytest.raises(UserError, match="pspnet18-sf-0.*two groups"):
        check.check_all()


def test_data_set_without_a_block_is_refused(project):
    edit(project, "data.yaml", "run: [street]", "run: [street, kitti]")
    with pytest.raises(UserError, match="frames.yaml: no block for data set 'kitti'"):
        check.check_all()


def test_a_source_that_there_is_not_is_named(project):
    edit(project, "frames.yaml", "source: camvid ", "source: kitti ")
    edit(project, "data.yaml", "run: [street]", "run: [camvid]")
    with pytest.raises(UserError, match=r"key 'camvid.source' = 'kitti': no such source; use one of street, camvid"):
        check.check_all()
    edit(project, "frames.yaml", "source: kitti ", "source: [camvid] ")
    with pytest.raises(UserError, match=r"key 'camvid.source' = \['camvid'\]: no such source; use one of"):
        check.check_all()


def test_runs_are_all_combinations_in_table_order(project):
    names = [run.name for run in data.load().runs()]
    content = yaml.safe_load((project / "params/data.yaml").read_text())
    expected = sum(
        len(content[group]["schemes"]) * len(content[group]["seeds"]) for group in ("plain", "distilled", "ablation")
    )
    assert len(names) == len(set(names)) == expected * len(content["architectures"])
    assert names[0] == "pspnet18-baseline-0"
