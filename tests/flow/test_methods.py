"""Flow methods on known motion, published ground truth, and their determinism."""

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.io import read_flo
from etc.flow.methods import METHODS, build
from tests.real_data import DATA

SAMPLES = DATA / "flow"
ESTIMATORS = [
    ("dis", {"preset": "ultrafast"}),
    ("dis", {"preset": "fast"}),
    ("dis", {"preset": "medium"}),
    ("farneback", {}),
]


@pytest.fixture(scope="module")
def shifted():
    """A textured scene and the same scene moved right by 3 and up by 2 pixels."""
    rng = np.random.default_rng(3)
    scene = cv2.GaussianBlur(rng.integers(0, 256, (140, 200, 3)).astype(np.uint8), (0, 0), 2.5)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    return scene[10:130, 10:190], scene[12:132, 7:187]


@pytest.mark.parametrize(("name", "parameters"), ESTIMATORS)
def test_known_motion_is_found(shifted, name, parameters):
    flow = build(name, **parameters)(*shifted)
    assert flow.shape == (120, 180, 2)
    assert flow.dtype == np.float32
    error = np.linalg.norm(flow - np.float32([3, -2]), axis=2)[15:-15, 15:-15]
    assert np.median(error) < 0.3


@pytest.mark.parametrize(("name", "parameters"), ESTIMATORS)
def test_the_same_bits_whatever_the_threads_and_whatever_came_before(shifted, name, parameters):
    before = cv2.getNumThreads()
    method = build(name, **parameters)
    results = []
    try:
        for threads in (1, 2, 3):
            cv2.setNumThreads(threads)
            results.append(method(*shifted))
            method(shifted[1], shifted[0])
    finally:
        cv2.setNumThreads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no published flow samples here")
def test_dis_on_middlebury():
    """RubberWhale with its published ground truth; the wrong direction is far worse."""
    frames = [cv2.imread(str(SAMPLES / f"middlebury/rubberwhale{i}.png"))[..., ::-1].copy() for i in (1, 2)]
    truth = read_flo(SAMPLES / "middlebury/flow_gt.flo")
    known = (np.abs(truth) < 1e9).all(axis=2)
    errors = {sign: np.linalg.norm(sign * build("dis")(*frames) - truth, axis=2)[known].mean() for sign in (1, -1)}
    assert errors[1] < 0.4
    assert errors[-1] > 1.5


@pytest.mark.parametrize("name", ["dis", "farneback"])
def test_every_method_says_what_its_key_needs(name):
    """Those of networks: test_raft.py and test_onnx.py."""
    method = build(name)
    assert METHODS[name].name == method.name == name
    assert isinstance(method.version, str) and method.version
    assert isinstance(method.parameters, dict)


def test_the_key_of_dis_holds_preset_and_version():
    assert build("dis", preset="fast").parameters == {"preset": "fast"}
    assert cv2.__version__ in build("dis").version


def test_wrong_requests_are_refused(shifted):
    with pytest.raises(UserError, match="choose one of dis, farneback, raft, onnx$"):
        build("flownet")
    with pytest.raises(UserError, match="preset"):
        build("dis", preset="slow")
    with pytest.raises(UserError, match="speed.*it takes preset"):
        build("dis", speed=1)
    with pytest.raises(UserError, match="'path'.*it takes path"):
        build("onnx")
    with pytest.raises(UserError, match="one size"):
        build("dis")(shifted[0], shifted[1][:-1])
    with pytest.raises(UserError, match="uint8"):
        build("dis")(shifted[0].astype(np.float32), shifted[1])
    with pytest.raises(UserError, match="shape"):
        build("dis")(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))
