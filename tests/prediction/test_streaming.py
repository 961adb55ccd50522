"""``etc predict`` on videos and folders: every frame once, the figures of ``etc tc``, complete output or none."""

import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from etc.cli import app
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.inference import predict
from etc.measure.id_video import id_frames
from etc.models import registry, weights
from etc.models.fused import fused
from etc.prediction import outputs, streaming
from etc.prediction.ahead import ahead
from etc.reporting.flicker import CHANGED, FLIPPED, Flicker

RATE = 10
SECONDS = [0.0, 0.1, 0.2, 0.5, 0.6, 0.9]


def save(folder, names=STREET.names, seed=0):
    torch.manual_seed(seed)
    network = registry.build("pspnet18", len(names), 8)
    config = {"architecture": "pspnet18", "width": 8, "classes": len(names), "class_names": list(names)}
    weights.save(folder, network, config)


def pictures(count, height=49, width=65):
    """A textured picture that moves, so that flow and classes differ from frame to frame."""
    rng = np.random.default_rng(3)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (height, width + 4 * count, 3), np.uint8), (0, 0), 2)
    return [np.ascontiguousarray(wide[:, 3 * one : 3 * one + width]) for one in range(count)]


def write_video(path, images, seconds=None):
    with av.open(Path(path).absolute(), "w") as container:
        stream = container.add_stream("libx264rgb", RATE, {"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "rgb24"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number if seconds is None else round(seconds[number] * RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_video(path):
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("net")
    (tmp_path / "walk").mkdir()
    for number, image in enumerate(pictures(6)):
        cv2.imwrite(f"walk/{number:06d}.png", image[..., ::-1])
    write_video("walk.mkv", pictures(6, 48, 64))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["predict", *arguments])


def test_a_video_has_every_frame_with_its_time_and_size(project):
    write_video("uneven.mkv", pictures(6, 48, 64), SECONDS)
    result = run("net", "uneven.mkv", "--to", "out.mp4")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("6 frames by net in out.mp4, ")
    images, times = read_video("out.mp4")
    assert times == pytest.approx(SECONDS, abs=1e-3)
    assert {image.shape for image in images} == {(48, 64, 3)}
    network, _ = weights.load("net")
    expected = predict(fused(network), pictures(6, 48, 64)[5][None], 1)[0]
    shown = streaming.overlay(pictures(6, 48, 64)[5], expected, STREET, streaming.OPACITY)
    assert np.abs(images[5].astype(int) - shown).mean() < 4


def test_an_odd_size_is_padded_and_given_in_a_folder_as_it_is(project):
    assert run("net", "walk", "--to", "out.webm", "--form", "colours").exit_code == 0
    assert read_video("out.webm")[0][0].shape == (50, 66, 3)
    assert run("net", "walk", "--to", "ids").exit_code == 0
    network, _ = weights.load("net")
    for number, image in enumerate(pictures(6)):
        ids = cv2.imread(f"ids/walk/{number:06d}.png", cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(ids, predict(fused(network), image[None], 1)[0])


@pytest.mark.parametrize("size", [None, "40x56"])
def test_the_figures_are_those_of_etc_tc(project, size):
    more = [] if size is None else ["--size", size]
    result = run("net", "walk", "--to", "ids/walk", "--measure", *more)
    assert result.exit_code == 0, result.output
    frames = Path("walk")
    if size:
        frames = Path("small")
        frames.mkdir()
        for path in Path("walk").iterdir():
            smaller = cv2.resize(cv2.imread(str(path)), (56, 40), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(frames / path.name), smaller)
    arguments = ["--predictions", "ids/walk/walk", "--frames", str(frames), "--classes", "9", "--json", "tc.json"]
    assert CliRunner().invoke(app, ["tc", *arguments, "--workers", "1"]).exit_code == 0
    figures = json.loads(Path("tc.json").read_text())
    expected = f"agreement {100 * figures['agreement']:.2f} %, flip rate {100 * figures['flip_rate']:.2f} %"
    assert result.stdout.rstrip().endswith(expected) and 0 < figures["agreement"] < 1
    shown = run("net", "walk", "--show", *more)
    assert shown.stdout.rstrip().endswith(expected)


def test_etc_tc_takes_the_frames_from_the_video(project):
    result = run("net", "walk.mkv", "--to", "ids", "--measure")
    Path("decoded/walk").mkdir(parents=True)
    for number, image in enumerate(pictures(6, 48, 64)):
        cv2.imwrite(f"decoded/walk/{number:06d}.png", image[..., ::-1])
    figures = []
    for frames in ("walk.mkv", "decoded"):
        arguments = ["tc", "--predictions", "ids", "--frames", frames, "--classes", "9", "--workers", "1"]
        assert CliRunner().invoke(app, [*arguments, "--json", "tc.json"]).exit_code == 0
        figures.append(json.loads(Path("tc.json").read_text()))
    assert figures[0] == figures[1] and figures[0]["pairs"] == 5
    assert f"agreement {100 * figures[0]['agreement']:.2f} %" in result.stdout
    Path("note.mp4").write_text("not a video")
    refused = CliRunner().invoke(app, ["tc", "--predictions", "ids", "--frames", "note.mp4"])
    assert refused.exit_code == 1 and "note.mp4: not a video, damaged or truncated" in refused.output


@pytest.mark.parametrize("source", ["walk", "uneven.mkv"])
def test_ids_in_a_video_are_those_of_the_folder(project, source):
    """Also with odd sides and at an uneven rate; `etc tc` measures the same in both."""
    write_video("uneven.mkv", pictures(6, 48, 64), SECONDS)
    name = Path(source).stem
    for to in ("folder", f"video/{name}.mkv"):
        result = run("net", source, "--to", to, "--measure", "--form", "ids")
        assert result.exit_code == 0, result.output
    assert run("net", source, "--to", f"plain/{name}.mkv").exit_code == 0
    expected = [cv2.imread(f"folder/{name}/{number:06d}.png", cv2.IMREAD_UNCHANGED) for number in range(6)]
    for folder in ("video", "plain"):
        np.testing.assert_array_equal(list(id_frames(Path(folder, f"{name}.mkv"))), expected)
    frames = "uneven.mkv" if source == "uneven.mkv" else "walk"
    figures = []
    for predictions in ("folder", f"video/{name}.mkv"):
        arguments = ["tc", "--predictions", predictions, "--against", predictions, "--frames", frames, "--workers", "1"]
        done = CliRunner().invoke(app, [*arguments, "--json", "tc.json"])
        assert done.exit_code == 0, done.output
        figures.append(json.loads(Path("tc.json").read_text()))
    for one in figures:
        del one["predictions"], one["against"]["predictions"]
    assert figures[0] == figures[1] and figures[0]["pairs"] == 5
    assert f"agreement {100 * figures[0]['agreement']:.2f} %" in result.stdout


def test_a_video_of_ids_that_is_read_back_otherwise_gets_no_name(project, monkeypatch):
    monkeypatch.setattr(outputs, "id_frames", lambda path: (ids + np.uint8(1) for ids in id_frames(path)))
    result = run("net", "walk", "--to", "new/out.mkv")
    assert result.exit_code == 1 and "out.mkv: ids are not read back as they were written" in result.output
    assert not Path("new").exists()


def test_two_networks_and_their_flicker_are_side_by_side(project):
    save("other", seed=1)
    assert run("net", "walk.mkv", "--to", "out.mp4", "--compare", "other", "--flicker").exit_code == 0
    images, _ = read_video("out.mp4")
    height, width = images[0].shape[:2]
    assert len(images) == 6 and width > 3 * 64 and height > 2 * 48


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net", "walk"], "say where to write with --to, or --show"),
        (["net", "walk", "--to", ""], "--to: names the current folder, or nothing; name a video"),
        (["net", "walk", "--to", "https://example.org/out.mp4"], "--to https:/.*: not a path of this machine"),
        (["net", "walk", "--to", "out", "--show"], "say where to write with --to, or --show"),
        (["net", "nowhere", "--show"], "nowhere: no such video, folder of frames or camera, nor a data set"),
        (["nothing", "walk", "--show"], "nothing/config.json"),
        (["net", "walk", "--to", "out.avi"], "out.avi: videos are written as .mp4 or .webm, of ids as .mkv"),
        (["net", "walk", "--to", "there.mp4"], "there.mp4: exists; replace it with --force"),
        (
            ["net", "walk", "--to", "walk/out.mp4"],
            "walk/out.mp4: inside the input walk; write to",
        ),
        (
            ["net", "walk.mkv", "--to", "walk.mp4", "--form", "ids"],
            "--form ids: .mp4 would not keep them exactly; choose a name that ends in .mkv",
        ),
        (["net", "walk", "--to", "out.mkv", "--form", "overlay"], "out.mkv: holds ids; for --form overlay choose .mp4"),
        (["net", "walk", "--to", "out.mkv", "--flicker"], "out.mkv: holds ids; for --form overlay choose .mp4"),
        (["net", "two", "--to", "out.mkv"], "out.mkv: a video of ids holds one clip, and there are 2; write a folder"),
        (["net", "from_7", "--to", "out.mkv"], "out.mkv: clip from_7 has frame 7 in place 0, .* gaps; write a folder"),
        (["net", "gap", "--to", "out.mkv"], "out.mkv: clip gap has frame 3 in place 2, .* gaps; write a folder"),
        (
            ["net", "walk", "--to", "out.mp4", "--compare", "net", "--size", "8192x32"],
            r"out.mp4: libx264 cannot write pictures of \d+x\d+ pixels .*; give a smaller --size, or write a folder",
        ),
        (["net", "walk", "--to", "out", "--form", "ids", "--flicker"], "--form ids: --flicker and --compare show"),
        (["net", "walk", "--to", "out", "--size", "big"], "--size big: give HEIGHTxWIDTH"),
        (["net", "walk", "--to", "out", "--precision", "fp16"], "--precision fp16: choose one of fp32, bf16"),
        (["net", "walk", "--to", "out", "--labelled"], "--labelled: only for a data set that is written"),
        (["net", "walk", "--to", "out.mp4", "--compare", "city"], "city: trained on the classes road, .*same classes"),
        (
            ["net", "cut.mkv", "--to", "out.mp4"],
            "cut.mkv: damaged or cut off|cut.mkv: the video has no frame|cut.mkv: ",
        ),
        (["net", "empty", "--to", "out.mp4"], "empty"),
        (["net", "0", "--show"], "camera 0: cannot be opened"),
        (["net", "walk", "--show", "--flicker"], "--show: only shows figures"),
        (["net", "walk", "--to", "out", "--split", "dev"], "--split dev: walk is no data set"),
        (["net", "walk", "--to", "out", "--form", "labels"], "--form labels: only for a data set"),
        (["net", "mixed", "--to", "out.mp4"], "out.mp4: a picture of 64x48 pixels after those of 65x49"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(project, arguments, message):
    save("city", CITYSCAPES.names)
    Path("there.mp4").write_text("mine")
    whole = Path("walk.mkv").read_bytes()
    Path("cut.mkv").write_bytes(whole[: len(whole) // 40])
    Path("empty").mkdir()
    Path("mixed").mkdir()
    for number, image in enumerate([pictures(1)[0], pictures(1, 48, 64)[0]]):
        cv2.imwrite(f"mixed/{number}.png", image)
        Path(f"two/{number}").mkdir(parents=True)
        cv2.imwrite(f"two/{number}/0.png", image)
    for folder, numbers in (("from_7", [7, 8]), ("gap", [0, 1, 3])):
        Path(folder).mkdir()
        for number, image in zip(numbers, pictures(3), strict=False):
            cv2.imwrite(f"{folder}/{number:06d}.png", image)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output
    assert len(result.output.splitlines()) == 1
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_video_that_is_there_is_replaced_when_asked(project):
    Path("out.mp4").write_text("mine")
    assert run("net", "walk.mkv", "--to", "out.mp4", "--force").exit_code == 0
    assert len(read_video("out.mp4")[0]) == 6


def test_pictures_of_an_earlier_run_are_replaced_when_asked_and_none_is_left(project):
    Path("short").mkdir()
    write_video("short/walk.mkv", pictures(2, 48, 64))
    assert run("net", "walk.mkv", "--to", "ids").exit_code == 0
    Path("ids/mine").mkdir()
    Path("ids/mine/000000.png").write_text("mine")
    refused = run("net", "short/walk.mkv", "--to", "ids")
    assert refused.exit_code == 1 and "ids/walk: holds pictures; replace them with --force" in refused.output
    assert run("net", "short/walk.mkv", "--to", "ids", "--force").exit_code == 0
    assert sorted(path.name for path in Path("ids/walk").iterdir()) == ["000000.png", "000001.png"]
    assert Path("ids/mine/000000.png").read_text() == "mine"
    Path("ids/walk/000001.png").write_text("mine")
    refused = run("net", "walk.mkv", "--to", "ids", "--force")
    assert refused.exit_code == 1 and "has changed since" in refused.output
    assert Path("ids/walk/000001.png").read_text() == "mine"


@pytest.mark.parametrize("source", ["walk/deep/..", "...mkv", ".walk.mkv"])
def test_no_name_of_a_source_leads_out_of_the_folder(project, source):
    Path("walk/deep").mkdir()
    Path("sub").mkdir()
    if source.endswith(".mkv"):
        Path("walk.mkv").rename(source)
    before = set(project.iterdir())
    result = run("net", source, "--to", "sub/ids")
    assert result.exit_code == 0, result.output
    assert set(project.iterdir()) == before
    (clip,) = (path for path in Path("sub/ids").iterdir() if path.is_dir())
    assert clip.name in ("mkv", "walk", "frames") and len(list(clip.iterdir())) == 6


def test_output_among_the_input_is_refused(project):
    before = sorted(project.rglob("*"))
    result = run("net", "walk", "--to", ".")
    assert result.exit_code == 1 and len(result.output.splitlines()) == 1
    assert sorted(project.rglob("*")) == before


def test_masks_beside_the_frames_of_vspw_are_no_frames(project):
    for kind in ("origin", "mask"):
        Path(f"vspw/v1/{kind}").mkdir(parents=True)
        for number in range(2):
            Path(f"vspw/v1/{kind}/{number:08d}.png").write_bytes(Path(f"walk/{number:06d}.png").read_bytes())
    assert run("net", "vspw", "--to", "ids").stdout.startswith("2 frames")
    assert [path.name for path in Path("ids").iterdir() if path.is_dir()] == ["v1"]


def test_a_video_may_begin_late_and_its_name_may_hold_a_colon(project):
    write_video("10:30.mkv", pictures(6, 48, 64), [5 + one for one in SECONDS])
    result = run("net", "10:30.mkv", "--to", "10:31.mp4")
    assert result.exit_code == 0 and result.stdout.startswith("6 frames"), result.output
    assert len(read_video(Path("10:31.mp4").absolute())[0]) == 6


def test_frames_of_several_sizes_are_named_with_what_to_do(project):
    cv2.imwrite("walk/000003.png", pictures(1, 32, 40)[0])
    result = run("net", "walk", "--show")
    assert result.exit_code == 1 and "frame 3 has 40x32 pixels, the one before it 65x49; give all" in result.output
    assert run("net", "walk", "--show", "--size", "32x40").exit_code == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_as_ctrl_c_does(project, name, monkeypatch):
    drawn = streaming._Drawing.__call__

    def ended(self, frame, ids):
        if frame.number == 3:
            os.kill(os.getpid(), getattr(signal, name))
        return drawn(self, frame, ids)

    before = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(streaming._Drawing, "__call__", ended)
    assert run("net", "walk.mkv", "--to", "out.mp4").exit_code == 130
    assert len(read_video("out.mp4")[0]) >= 3 and not list(project.glob(".out*"))
    assert signal.getsignal(getattr(signal, name)) == before


def test_folders_made_for_a_video_that_fails_are_gone(project):
    Path("mixed").mkdir()
    for number, image in enumerate([pictures(1)[0], pictures(1, 48, 64)[0]]):
        cv2.imwrite(f"mixed/{number}.png", image)
    assert run("net", "mixed", "--to", "new/deep/out.mp4").exit_code == 1
    assert not Path("new").exists()


def test_interrupted_it_leaves_a_video_that_plays(project, monkeypatch):
    drawn = streaming._Drawing.__call__

    def interrupted(self, frame, ids):
        if frame.number == 4:
            raise KeyboardInterrupt
        return drawn(self, frame, ids)

    monkeypatch.setattr(streaming._Drawing, "__call__", interrupted)
    result = run("net", "walk.mkv", "--to", "out.mp4")
    assert result.exit_code == 130 and result.stdout.startswith(
        "4 frames (stopped early, of about 6) by net in out.mp4"
    )
    assert len(read_video("out.mp4")[0]) == 4
    assert not list(project.glob(".out*"))


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.mkv"])
@pytest.mark.parametrize("moment", ["encode", "finish"])
def test_a_signal_while_a_picture_is_encoded_or_the_file_finished_costs_nothing(project, monkeypatch, name, moment):
    """Each picture is in the file or not, and a finished file gets its name."""
    method = "_frame" if moment == "encode" else "finish"
    work, calls = getattr(outputs._Video, method), []

    def interrupted(self, *given):
        calls.append(1)
        if moment == "finish" or len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return work(self, *given)

    monkeypatch.setattr(outputs._Video, method, interrupted)
    result = run("net", "walk.mkv", "--to", name, *(["--form", "ids"] if name == "out.mkv" else []))
    assert result.exit_code == (130 if moment == "encode" else 0), result.output
    with av.open(name) as container:
        assert len(list(container.decode(video=0))) == (3 if moment == "encode" else 6)
    assert not list(project.glob(".out*"))
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.parametrize(("options", "aspect"), [((), 2), (("--size", "48x128"), 1)])
def test_pixels_that_are_not_square_stay_so(project, options, aspect):
    with av.open("wide.mkv", "w") as container:
        stream = container.add_stream("libx264rgb", RATE, {"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgb24"
        stream.codec_context.sample_aspect_ratio = 2
        for image in pictures(3, 48, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    assert run("net", "wide.mkv", "--to", "out.mp4", *options).exit_code == 0
    with av.open("out.mp4") as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect


def test_a_camera_that_gives_no_picture_is_named(project, monkeypatch):
    dark = SimpleNamespace(isOpened=lambda: True, get=lambda _: 30.0, read=lambda: (False, None))
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: dark)
    result = run("net", "0", "--measure", "--show")
    assert result.exit_code == 1 and "camera 0: opens, but gives no picture" in result.output


def test_a_run_is_no_place_for_its_predictions(project):
    result = run("net", "walk.mkv", "--to", "net/out.mp4")
    assert result.exit_code == 1 and "net/out.mp4: inside the input net" in result.output
    assert sorted(path.name for path in Path("net").iterdir()) == ["config.json", "weights.safetensors"]


def test_the_name_of_a_labeller_says_more_than_its_chain():
    assert [streaming._caption(Path(one)) for one in ("data/labeller/0", "net")] == ["labeller 0", "net"]


def test_what_changes_is_amber_and_what_flips_is_red():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), (0, 0), 2)
    flicker, still = Flicker(), np.zeros((40, 60, 2), np.float32)
    place = (slice(10, 20), slice(30, 40))
    for number, value in enumerate([0, 0, 1, 0]):
        ids = np.zeros((40, 60), np.uint8)
        ids[place] = value
        shown, total = flicker(image, ids, still if number else None)
        colour = {2: CHANGED, 3: FLIPPED}.get(number)
        assert (shown[place] == colour).all() == (colour is not None)
        assert not (shown[:8] == CHANGED).all(axis=-1).any() and not (shown[:8] == FLIPPED).all(axis=-1).any()
    # The square changed in two of three frames, the rest in none.
    assert total[place].min(axis=(0, 1))[0] > 200 and total[:8].max() < 120
    _, other = flicker(image, ids, None)
    assert (other == total).all()


def test_work_in_advance_is_bounded_and_ends_with_its_caller():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    first = ahead(items(), held=2)
    assert next(first) == 0
    first.close()
    assert len(taken) < 10
    assert list(ahead(iter([1, 2]))) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        list(ahead(1 / one for one in (1, 0)))
