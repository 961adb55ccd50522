"""The table of docs/datasets.md: what the readers of frames and of ids accept, convert and refuse."""

import os
import re
import threading

import cv2
import numpy as np
import pytest

from etc.dataset import pictures
from etc.dataset.pictures import MOST_PIXELS, PictureError
from tests.dataset.files import chunk, npy, png, saved
from tests.real_data import SAMPLES

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = COLOURS[..., 0]
SMOOTH = np.full((16, 24, 3), (200, 100, 50), np.uint8)
IDS = RNG.integers(0, 4, (6, 9)).astype(np.uint8)
WIDE = RNG.integers(0, 16, (6, 9)).astype(np.uint8)
PALETTE = RNG.integers(0, 256, (16, 3)).astype(np.uint8)
ALPHA = RNG.integers(0, 256, (6, 9, 1)).astype(np.uint8)


def plte(entries):
    return chunk(b"PLTE", np.asarray(entries, np.uint8).tobytes())


def greys(*values):
    return plte([[value] * 3 for value in values])


def exif(orientation):
    """An eXIf chunk, taken from a file of Pillow."""
    data = saved(GREY, "PNG", orientation=orientation)
    place = data.index(b"eXIf")
    return chunk(b"eXIf", data[place + 4 : place + 4 + int.from_bytes(data[place - 4 : place])])


def three(grey):
    return np.dstack([grey] * 3)


def refuses(data, kind, problem, message):
    with pytest.raises(PictureError, match=f"^a: .*{message}") as caught:
        pictures.decode(data, "a", kind)
    assert caught.value.problem == problem
    assert "\n" not in str(caught.value)


FRAMES = {
    "RGB PNG": (png(COLOURS), COLOURS),
    "RGB PNG with bytes behind its end": (png(COLOURS, after=b"rubbish"), COLOURS),
    "grey PNG": (png(GREY), three(GREY)),
    "grey PNG of 1 bit": (png(IDS % 2, 1), three(IDS % 2 * 255)),
    "grey PNG of 2 bits": (png(IDS, 2), three(IDS * 85)),
    "grey PNG of 4 bits": (png(WIDE, 4), three(WIDE * 17)),
    "palette PNG": (png(WIDE, 8, 3, plte(PALETTE)), PALETTE[WIDE]),
    "palette PNG of 4 bits": (png(WIDE, 4, 3, plte(PALETTE)), PALETTE[WIDE]),
    "palette PNG with transparency": (png(WIDE, 8, 3, plte(PALETTE) + chunk(b"tRNS", bytes(9))), PALETTE[WIDE]),
    "RGBA PNG": (png(np.dstack([COLOURS, ALPHA])), COLOURS),
    "grey PNG with alpha": (png(np.dstack([GREY, ALPHA])), three(GREY)),
    "RGB PNG with a transparent colour": (png(COLOURS, extra=chunk(b"tRNS", bytes(6))), COLOURS),
    "RGB PNG with gamma": (png(COLOURS, extra=chunk(b"gAMA", (100_000).to_bytes(4))), COLOURS),
    "BMP": (saved(COLOURS, "BMP"), COLOURS),
    "grey BMP": (saved(GREY, "BMP"), three(GREY)),
    "TIFF": (saved(COLOURS, "TIFF"), COLOURS),
    "TIFF, LZW": (saved(COLOURS, "TIFF", compression="tiff_lzw"), COLOURS),
    "grey TIFF": (saved(GREY, "TIFF"), three(GREY)),
    "RGBA TIFF": (saved(np.dstack([COLOURS, ALPHA]), "TIFF"), COLOURS),
    "lossless WebP": (saved(COLOURS, "WEBP", lossless=True), COLOURS),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_become_8_bit_rgb(name):
    data, expected = FRAMES[name]
    np.testing.assert_array_equal(pictures.decode(data, "a", "frame"), expected)


@pytest.mark.parametrize("grey", [False, True])
def test_jpegs_are_decoded_as_by_opencv(grey):
    data = saved(SMOOTH[..., 0] if grey else SMOOTH, "JPEG", quality=95)
    found = pictures.decode(data, "a", "frame")
    np.testing.assert_array_equal(found, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    assert np.abs(found.astype(int) - (three(SMOOTH[..., 0]) if grey else SMOOTH)).max() < 5


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_are_turned_as_their_exif_data_say(form, orientation):
    # Blocks of 16 pixels survive JPEG.
    blocks = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]], [[0, 0, 0], [120, 120, 120]]])
    picture = np.kron(blocks, np.ones((16, 16, 1))).astype(np.uint8)
    flipped = picture[:, ::-1] if orientation in (2, 4, 5, 7) else picture
    upright = np.rot90(flipped, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation])
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    data = saved(picture, form, orientation=orientation, **options)
    found = pictures.decode(data, "a", "frame")
    assert found.shape == upright.shape and np.abs(found.astype(int) - upright)[8::16, 8::16].max() < 25
    header = pictures.check(data, "a", "frame")
    assert pictures.upright_size(data, header) == (upright.shape[1], upright.shape[0])


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_an_orientation_in_xmp_alone_turns_no_frame(form, with_exif):
    """Pillow obeys it, OpenCV does not."""
    from PIL import Image

    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    camera = Image.Exif()
    camera[0x010F] = "maker"
    options = {"exif": camera} if with_exif else {}
    options |= {"tiffinfo": {700: xmp}} if form == "TIFF" else {"xmp": xmp}
    data = saved(COLOURS, form, **options)
    assert pictures.decode(data, "a", "frame").shape == COLOURS.shape
    header = pictures.check(data, "a", "frame")
    assert pictures.upright_size(data, header) == (COLOURS.shape[1], COLOURS.shape[0])


def animation(form, **options):
    from PIL import Image

    return saved(COLOURS, form, save_all=True, append_images=[Image.fromarray(255 - COLOURS)], **options)


@pytest.mark.parametrize(
    ("data", "problem", "message"),
    [
        (png(GREY.astype(np.uint16), 16), "mode", "16-bit grey, not 8-bit RGB; convert it to 8-bit RGB"),
        (png(COLOURS.astype(np.uint16), 16), "mode", "16-bit RGB, not 8-bit RGB"),
        (saved(GREY.astype(np.uint16), "TIFF"), "mode", "16-bit I;16, not 8-bit RGB"),
        (cv2.imencode(".tif", COLOURS.astype(np.uint16))[1].tobytes(), "mode", "16-bit RGB, not 8-bit RGB"),
        (saved(GREY.astype(np.float32), "TIFF"), "mode", "32-bit F, not 8-bit RGB"),
        (saved(COLOURS, "TIFF", "CMYK"), "mode", "CMYK, not 8-bit RGB"),
        (saved(SMOOTH, "JPEG", "CMYK"), "mode", "8-bit CMYK, not 8-bit RGB"),
        (animation("PNG"), "mode", "an animated PNG; give a file for each frame"),
        (animation("TIFF"), "mode", "2 pictures in one file; give a file for each frame"),
        (animation("WEBP"), "mode", "2 pictures in one file"),
        (npy(COLOURS), "mode", "a NumPy array, not a frame"),
        (saved(GREY, "GIF"), "damaged", r"not a readable picture \(PNG, JPEG, TIFF, BMP or WebP\)"),
        (b"rubbish", "damaged", "not a readable picture"),
        (b"", "empty", "the file is empty"),
    ],
)
def test_what_is_no_frame_is_refused(data, problem, message):
    refuses(data, "frame", problem, message)


IDS_ACCEPTED = {
    "8-bit grey PNG": (png(GREY), GREY),
    "1-bit grey PNG": (png(IDS % 2, 1), IDS % 2),
    "2-bit grey PNG": (png(IDS, 2), IDS),
    "4-bit grey PNG": (png(WIDE, 4), WIDE),
    "16-bit grey PNG": (png(GREY, 16), GREY),
    "8-bit palette PNG": (png(WIDE, 8, 3, plte(PALETTE)), WIDE),
    "4-bit palette PNG": (png(WIDE, 4, 3, plte(PALETTE)), WIDE),
    "2-bit palette PNG": (png(IDS, 2, 3, plte(PALETTE[:4])), IDS),
    "1-bit palette PNG": (png(IDS % 2, 1, 3, plte(PALETTE[:2])), IDS % 2),
    "palette PNG with transparency": (png(WIDE, 8, 3, plte(PALETTE) + chunk(b"tRNS", bytes(9))), WIDE),
    "palette PNG of greys that are their indices": (png(IDS, 8, 3, greys(0, 1, 2, 3)), IDS),
    "palette PNG with other greys that are not used": (png(IDS, 8, 3, greys(0, 1, 2, 3, 3, 2)), IDS),
    "grey PNG with a transparent id": (png(IDS, extra=chunk(b"tRNS", bytes(2))), IDS),
    "grey PNG with gamma": (png(IDS, extra=chunk(b"gAMA", (45_455).to_bytes(4))), IDS),
    "grey PNG that is upright": (png(IDS, extra=exif(1)), IDS),
    "grey PNG with bytes behind its end": (png(IDS, after=b"x"), IDS),
    "array of uint8": (npy(GREY), GREY),
    "array of int64": (npy(GREY.astype(np.int64)), GREY),
    "array in Fortran order": (npy(np.asfortranarray(GREY.astype(np.int32))), GREY),
}


@pytest.mark.parametrize("name", IDS_ACCEPTED)
def test_ids_are_those_in_the_file(name):
    data, expected = IDS_ACCEPTED[name]
    found = pictures.decode(data, "a", "ids")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("data", "problem", "message"),
    [
        (png(COLOURS), "mode", "8-bit RGB, a colour picture, not class ids; write the ids as an 8-bit grey PNG"),
        (png(three(IDS)), "mode", "8-bit RGB, a colour picture"),
        (png(np.dstack([COLOURS, ALPHA])), "mode", "8-bit RGBA, a colour picture"),
        (png(np.dstack([GREY, ALPHA])), "mode", "8-bit grey with alpha"),
        (png(GREY.astype(int) + 1000, 16), "mode", r"id 1\d\d\d, but ids are 0 to 255"),
        (
            png(IDS, 8, 3, greys(3, 0, 1, 2)),
            "mode",
            "a palette of greys, whose index 0 is grey 3",
        ),
        (png(IDS, 2, 3, greys(0, 85, 170, 255)), "mode", "a palette of greys, whose index 1 is grey 85"),
        (png(IDS, 8, 3, plte(PALETTE[:3])), "damaged", "index 3, but the palette has 3 entries"),
        (png(IDS, 8, 3), "damaged", "a palette PNG without a whole palette"),
        (png(IDS, extra=exif(3)), "mode", "a label with an EXIF orientation; turn the pixels and remove the tag"),
        (saved(GREY, "JPEG"), "mode", "a JPEG, which does not keep labels as they were; give PNG files"),
        (saved(GREY, "TIFF"), "mode", "TIFF, not PNG"),
        (saved(GREY, "BMP"), "mode", "BMP, not PNG"),
        (animation("PNG"), "mode", "an animated PNG"),
        (npy(GREY.astype(np.float32)), "mode", r"an array of float32 \(6, 9\), not integer ids \(H, W\)"),
        (npy(np.zeros((2, 3, 4), np.uint8)), "mode", r"an array of uint8 \(2, 3, 4\)"),
        (npy(np.full((2, 2), -1)), "mode", "id -1, but ids are 0 to 255"),
        (npy(np.full((2, 2), 256)), "mode", "id 256, but ids are 0 to 255"),
        (npy(np.zeros((0, 4), np.uint8)), "damaged", "a picture of 4x0 pixels"),
        (npy(GREY).replace(b"(6, 9), }     ", b"(6, 900000), }"), "damaged", "takes 5400000 bytes, but 54 follow"),
        (npy(GREY)[:-1], "damaged", "takes 54 bytes, but 53 follow"),
    ],
)
def test_what_is_no_picture_of_ids_is_refused(data, problem, message):
    refuses(data, "ids", problem, message)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    array = np.empty((2, 2), object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    refuses((tmp_path / "a.npy").read_bytes(), "ids", "damaged", "it holds Python objects")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(COLOURS), COLOURS),
        (png(np.dstack([COLOURS, ALPHA])), COLOURS),
        (png(WIDE, 4, 3, plte(PALETTE)), PALETTE[WIDE]),
    ],
)
def test_labels_in_colours_are_rgb(data, expected):
    np.testing.assert_array_equal(pictures.decode(data, "a", "colours"), expected)


@pytest.mark.parametrize(
    "data",
    [png(GREY), png(COLOURS, 16), saved(SMOOTH, "JPEG"), saved(COLOURS, "BMP"), png(COLOURS, extra=exif(6)), npy(GREY)],
)
def test_other_labels_in_colours_are_refused(data):
    refuses(data, "colours", "mode", "")


@pytest.mark.parametrize("kind", ["frame", "ids"])
@pytest.mark.parametrize("keep", [0, 4, 20, 60, 0.5, 0.9, -1])
def test_a_cut_png_is_refused(kind, keep):
    data = png(RNG.integers(0, 4, (50, 50)).astype(np.uint8))
    cut = data[: int(keep * len(data)) if 0 < keep < 1 else keep]
    refuses(cut, kind, "empty" if not cut else "damaged" if keep == 4 else "truncated", "")


def test_a_png_whose_pixels_do_not_fill_it_is_refused():
    whole, half = png(IDS), png(IDS[:3])
    head = whole[8 : 8 + 25]
    refuses(half[:8] + head + half[33:], "ids", "damaged", "not a readable picture")
    refuses(half[:8] + head + half[33:], "frame", "damaged", "not a readable picture")


def test_a_jpeg_without_an_end_is_refused():
    data = saved(RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8), "JPEG", quality=90)
    for cut in (data[: len(data) // 2], data[:-2], data[:30], data[:3]):
        refuses(cut, "frame", "truncated", "the JPEG")


@pytest.mark.parametrize("kind", ["frame", "ids"])
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 1), (MOST_PIXELS, 2), (0, 5)])
def test_a_size_beyond_the_limit_is_refused_before_decoding(kind, width, height):
    data = png(IDS)
    head = chunk(b"IHDR", width.to_bytes(4) + height.to_bytes(4) + data[24:29])
    problem = "large" if width else "damaged"
    refuses(data[:8] + head + data[33:], kind, problem, f"{width}x{height} pixels")


def test_an_array_that_says_more_than_it_holds_takes_no_memory():
    data = npy(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), }        ", b"(20000, 20000), }")
    refuses(data, "ids", "damaged", "takes 400000000 bytes, but")


def test_pipes_devices_links_and_folders_are_refused(tmp_path):
    pipe, loop = tmp_path / "pipe.png", tmp_path / "loop.png"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    device = tmp_path / "zero.png"
    device.symlink_to("/dev/zero")
    done = threading.Event()

    def attempt():
        for path, message in [
            (pipe, "not a regular file"),
            (device, "not a regular file"),
            (loop, "symbolic links"),
            (tmp_path, "not a regular file"),
        ]:
            with pytest.raises(PictureError, match=f"{re.escape(str(path))}: .*{message}") as caught:
                pictures.read(path, "frame")
            assert caught.value.problem == "unreadable"
        with pytest.raises(PictureError, match="no such file") as caught:
            pictures.read(tmp_path / "none.png", "frame")
        assert caught.value.problem == "missing"
        done.set()

    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(20)
    assert done.is_set()


def test_a_file_too_long_for_a_picture_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    with open(path, "wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(PictureError, match=r"a\.png: 1,099,511,627,776 bytes, above the limit"):
        pictures.read(path, "ids")


def test_a_bitmap_beyond_the_limit_is_refused():
    data = bytearray(saved(COLOURS, "BMP"))
    data[18:26] = (20_000).to_bytes(4, "little") * 2
    refuses(bytes(data), "frame", "large", "above the limit of 100,000,000")


def test_memory_that_is_not_there_is_said_in_one_line(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", full)
    refuses(png(COLOURS), "frame", "large", "9x6 pixels do not fit into the memory")


CASES = SAMPLES / "cases" / "bits"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the field's files")
def test_two_bit_ids_of_the_field():
    for path in sorted((CASES / "grey8" / "c").iterdir()):
        other = CASES / "grey2" / "c" / path.name
        np.testing.assert_array_equal(pictures.read(other, "ids"), pictures.read(path, "ids"))
