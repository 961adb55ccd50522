"""Every command of docs/datasets.md and docs/tc.md, run by a shell as it is written there, or listed with a reason."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer
import yaml
from PIL import Image

from etc.cli import app
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.evaluation.samples import clip_list, snippet
from etc.models import registry, weights
from tests.commands import world
from tests.sources import camvid_world

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("datasets", "tc", "video")}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Blocks of these languages hold no command; those without a language and these are for a shell.
OTHER_LANGUAGES, SHELL = {"yaml", "python", "diff"}, {"", "sh", "bash", "shell", "console"}
PROGRAMS = ("csDownload", "dvc", "etc", "ffmpeg", "git", "make", "pip", "python", "sha256sum", "snakemake")

# The commands in code blocks, by page and in order; each is run by the test that is named ("make" by
# tests/scenarios/test_real_data.py).
RUN = {
    "datasets": {
        "export ETC_ROOT_CAMVID=~/data/camvid": "camvid",
        "etc frames camvid --verify": "camvid",
        "make camvid     # downloads it, or finds it by ETC_ROOT_CAMVID; then the whole chain": "make",
        "etc predict data/cityscapes/students/pspnet18-etc-0 cityscapes "
        "--labelled --form cityscapes --to predictions": "cityscapes",
        "CITYSCAPES_DATASET=ROOT CITYSCAPES_RESULTS=predictions python -c "
        "\"$(python -c 'from etc.prediction.cityscapes import OFFICIAL; print(OFFICIAL)')\"": "cityscapes",
        "etc adopt walk --like camvid       # etc adopt NAME --like DATASET": "adopt",
        "etc adopt drive --like street      # a video, labelled by the networks of street": "adopt",
    },
    "tc": {
        "etc tc --predictions valannot --frames val --ignore 11 --workers 1": "camvid_labels",
        "etc tc --predictions ours --against theirs --frames leftImg8bit_sequence/val --label-set cityscapes "
        "--sample cityscapes_tc --workers 8 --json tc.json --parquet tc.parquet --html tc.html": "two_networks",
    },
    "video": {
        "etc predict data/street/students/pspnet18-etc-0 drive.mp4 --to seen.mp4": "video",
        "etc predict data/street/students/pspnet18-etc-0 drive.mp4 --to flicker.mp4 --flicker --compare "
        "data/street/students/pspnet18-baseline-0": "video",
        "etc predict data/street/students/pspnet18-etc-0 drive.mp4 --show": "video",
        "etc predict data/street/students/pspnet18-etc-0 drive.mp4 --to ids/drive.mkv": "video",
        "etc tc --predictions ids/drive.mkv --frames drive.mp4 --label-set street --html tc.html": "video",
    },
}
# Commands in the text: those that are run as well, by the same tests, and those that are not, with the reason.
RUN_IN_TEXT = {
    "etc frames camvid": "camvid",
    "etc frames cityscapes": "cityscapes",
    **dict.fromkeys([f"etc adopt {name} --run" for name in ("camvid", "camvid_images", "street")], "adopt"),
}
NOT_RUN = {
    "etc frames camvid --yes": "downloads CamVid; tests/sources/test_camvid.py has the download from a local server",
    "etc predict RUN SOURCE": "RUN and SOURCE are for the reader to fill in",
    "etc predict RUN DATASET --form overlay --to DIR": "RUN, DATASET and DIR are for the reader to fill in; "
    "tests/commands/test_docs_walk.py does",
    "pip install cityscapesscripts": "needs the network",
    **dict.fromkeys(
        ["pip install .", "pip install '.[pipeline]'", "pip install 'etc-segmentation[torchmetrics]'"],
        "needs the network; tests/test_light.py runs `etc tc` beside what the first installs",
    ),
    "csDownload -l": "asks for an account; the tool is not ours",
    "dvc repro --force --single-item frames@camvid": "needs a repository with CamVid in its run; the options are "
    "checked below",
    "etc quick walk": "trains; tests/scenarios/test_tools.py runs it for another data set",
    "sha256sum data/OTHER/labeller/0/weights.safetensors": "OTHER is for the reader to fill in, and the tool is "
    "not ours; tests/commands/test_docs_walk.py compares the digits",
    "ffmpeg -c copy": "part of a command; the tool is not ours",
}


def commands(block: str) -> Iterator[str]:
    """The commands of a shell block; where lines begin with a prompt, the others are output."""
    lines = re.sub(r" *\\\n *", " ", block).splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def blocks(page: str) -> Iterator[str]:
    """The fenced blocks for a shell and the indented ones."""
    for language, content in FENCE.findall(page):
        assert language in OTHER_LANGUAGES | SHELL, f"is a block of {language} run? Add it to one of the sets above"
        if language in SHELL:
            yield content
    for content in re.findall(r"^(?:(?: {4}|\t).*\n)+", FENCE.sub("", page), re.MULTILINE):
        yield re.sub(r"^(?: {4}|\t)", "", content, flags=re.MULTILINE)


def in_text(page: str) -> set[str]:
    """Commands in the text; the bare name of one, such as `etc tc`, is no command to type in."""
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", page)))
    found = {span for span in spans if span.startswith(tuple(f"{name} " for name in PROGRAMS))}
    return {span for span in found if span.split()[0] != "etc" or len(span.split()) > 2}


@pytest.mark.parametrize("name", PAGES)
def test_every_command_in_a_block_is_run(name):
    assert [one for block in blocks(PAGES[name]) for one in commands(block)] == list(RUN[name])


def test_every_command_in_the_text_is_run_or_listed_with_a_reason():
    found = set().union(*map(in_text, PAGES.values()))
    assert found - {f"etc {group}" for group in ("flow export", "flow import")} == {*RUN_IN_TEXT, *NOT_RUN}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_command_of_etc_and_its_options_exist(page):
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", page)))
    lines = [one for block in blocks(page) for one in commands(block)]
    written = [shlex.split(line, comments=True) for line in (*lines, *spans) if line.startswith("etc ")]
    assert len(written) > 5
    for _, *words in written:
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        default = getattr(command, "default", None)
        command = command.commands[default] if words and default else command
        assert command.name != "root" and (not words or not hasattr(command, "commands")), words
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_the_options_of_dvc_exist():
    from dvc.cli.parser import get_main_parser

    (command,) = [one for one in NOT_RUN if one.startswith("dvc ")]
    options = get_main_parser().parse_args(shlex.split(command)[1:])
    assert options.force and options.single_item and options.targets == ["frames@camvid"]
    assert list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["frames"]["matrix"]) == ["dataset"]


@pytest.fixture
def shell(tmp_path):
    """A folder with params/, which is the home too, and a function that runs commands of a page there."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    (tmp_path / "bin").mkdir()
    for name, module in (("python", ""), ("etc", " -m etc")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        program.chmod(0o755)
    foreign = ("ETC_", "CITYSCAPES_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ETC_OFFLINE": "1",
    }

    def run(*lines: str, **variables: str) -> str:
        result = subprocess.run(
            ["bash", "-e", "-c", "\n".join(lines)],
            cwd=tmp_path,
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run.folder = tmp_path
    return run


def of(test: str) -> list[str]:
    """The commands of a test, in the order of the pages."""
    return [command for page in RUN.values() for command, name in page.items() if name == test]


def texts_of(test: str) -> list[str]:
    return [command for command, name in RUN_IN_TEXT.items() if name == test]


def test_camvid_is_verified_and_then_made(shell):
    names = {name: files[:6] if name != "val" else files for name, files in camvid_world.PUBLISHED.items()}
    camvid_world.segnet(shell.folder / "data/camvid", names, (16, 24))
    printed = shell(*of("camvid"), *texts_of("camvid"))
    assert "the table in full: work/camvid/verification.parquet" in printed
    assert len(pq.read_table(shell.folder / "data/camvid/frames.parquet")) > 60


def cityscapes(folder: Path) -> None:
    """Frames of one scene as Cityscapes names them: two cities for dev, one for train, one for val."""
    world.make(folder, ("scene",), range(30), flow=False, name="ids")
    for split, city in (("train", "ulm"), ("train", "zurich"), ("train", "jena"), ("val", "frankfurt")):
        for number in range(30):
            image = folder / f"frames/scene/{number:04d}.png"
            name = f"{split}/{city}/{city}_000000_{number:06d}"
            link(image, folder / f"ROOT/leftImg8bit_sequence/{name}_leftImg8bit.png")
            if number == 19:
                link(image, folder / f"ROOT/leftImg8bit/{name}_leftImg8bit.png")
                ids = np.asarray(CITYSCAPES.sources)[:, 0].astype(np.uint8)
                labels = ids[np.arange(world.HEIGHT * world.WIDTH).reshape(world.HEIGHT, world.WIDTH) % 19]
                world.save(folder / f"ROOT/gtFine/{name}_gtFine_labelIds.png", labels)


def link(file: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.hardlink_to(file)


def test_a_network_is_judged_by_the_official_tool_of_cityscapes(shell):
    pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")
    cityscapes(shell.folder)
    torch.manual_seed(0)
    config = {"architecture": "pspnet18", "width": 8, "classes": 19, "class_names": list(CITYSCAPES.names)}
    network = registry.build("pspnet18", 19, 8)
    weights.save(str(shell.folder / "data/cityscapes/students/pspnet18-etc-0"), network, config)
    shell(*texts_of("cityscapes"), CITYSCAPES_DATASET="ROOT")
    # Every process has the variable, as a user exports it.
    printed = shell(*of("cityscapes"), CITYSCAPES_DATASET="ROOT")
    assert [path.name for path in (shell.folder / "predictions").glob("*.png")] == [
        "frankfurt_000000_000019_pred_labelIds.png"
    ]
    assert re.search(r"^Score Average +: ", printed, re.MULTILINE), printed


def test_a_video_goes_through_two_networks(shell):
    for scheme in ("etc", "baseline"):
        config = {"architecture": "pspnet18", "width": 8, "classes": 9, "class_names": list(STREET.names)}
        network = registry.build("pspnet18", 9, 8)
        weights.save(str(shell.folder / f"data/street/students/pspnet18-{scheme}-0"), network, config)
    writer = cv2.VideoWriter(str(shell.folder / "drive.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 15, (64, 48))
    for picture in np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8):
        writer.write(picture)
    writer.release()
    printed = shell(*of("video"))
    shown = r"^4 frames by .*-etc-0, \d+\.\d frames a second, agreement ([\d.]+) %, flip rate [\d.]+ %$"
    (agreement,) = re.findall(shown, printed, re.MULTILINE)
    assert re.search(rf"^pixel agreement +{agreement} *$", printed, re.MULTILINE), printed
    assert all((shell.folder / name).is_file() for name in ("seen.mp4", "flicker.mp4", "ids/drive.mkv", "tc.html"))


def test_blocks_as_written_are_adopted(shell):
    page = PAGES["datasets"]
    with open(shell.folder / "params/frames.yaml", "a") as stream:
        stream.write("\n" + "\n".join(re.findall(r"^```yaml\n((?:walk|drive):\n.*?)^```", page, re.M | re.S)))
    (classes,) = re.findall(r"^```yaml\n(labels: ids.*?)^```", page, re.M | re.S)
    (shell.folder / "videos/walk").mkdir(parents=True)
    (shell.folder / "videos/walk/classes.yaml").write_text(classes)
    for place, width in (("labeller/0", 16), ("pretrained/pspnet18-0", 8)):
        config = {"architecture": "pspnet18", "width": width, "classes": 9, "class_names": list(STREET.names)}
        weights.save(str(shell.folder / "data/street" / place), registry.build("pspnet18", 9, width), config)
    printed = shell(*of("adopt"), *texts_of("adopt"))
    assert "block 'walk' like 'camvid'" in printed and "block 'drive' like 'street'" in printed
    assert printed.endswith("run: [street], architectures: [pspnet18]\n")


def test_labels_of_camvid_as_predictions(shell):
    """The layout of the page; tests/commands/test_tc_docs.py compares the figures where CamVid is."""
    folder = world.make(
        shell.folder, ("0016E5",), range(7959, 8078, 2), "{clip}_{number:05d}", flow=False, name="valannot"
    )
    (folder / "frames").rename(folder / "val")
    first = folder / "valannot/0016E5_07959.png"
    ids = np.array(Image.open(first))
    ids[0, :2] = 10, 11
    world.save(first, ids)
    printed = shell(*of("camvid_labels")).splitlines()
    page = PAGES["tc"].split("--workers 1\n")[1].split("```")[0].splitlines()
    # Columns are as wide as the figures, which are others here.
    assert [line.split() for line in printed[:3]] == [line.split() for line in page[:3]] and printed[-1] == page[-1]


def test_two_networks_on_the_clips_of_the_paper(shell):
    """All 108 clips, each of the same 30 small frames."""
    for name, wrong in (("ours", 0.0), ("theirs", 0.1)):
        world.make(shell.folder / "one", ("scene",), range(30), flow=False, wrong=wrong, name=name)
    for place, name, ending in (
        ("ours", "ours", ""),
        ("theirs", "theirs", ""),
        ("leftImg8bit_sequence/val", "frames", "_leftImg8bit"),
    ):
        for clip in clip_list("cityscapes_tc"):
            video, first, _ = snippet(clip)
            for number in range(30):
                file = f"{video.split('_')[0]}/{video}_{first + number:06d}{ending}.png"
                link(shell.folder / f"one/{name}/scene/{number:04d}.png", shell.folder / place / file)
    printed = shell(*of("two_networks"))
    figures = json.loads((shell.folder / "tc.json").read_text())
    assert figures["pairs"] == figures["against"]["pairs"] == 3132 and len(figures["clips"]) == 108
    assert figures["against"]["difference"] > 0 and figures["against"]["p_value"] < 0.05
    assert len(pq.read_table(shell.folder / "tc.parquet")) > 3132
    # The classes have the names of the label set.
    assert re.search(r"^0 road +\d+\.\d\d", printed, re.MULTILINE), printed
