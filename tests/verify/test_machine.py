"""What computes here, and the lines in which two machines are compared."""

import json
import sys

from etc.verify.machine import compare, pins, this_machine


def test_a_record_says_what_computes_and_nothing_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text("# torch\nnumpy==0.1\nno-such-package==1.0\n    # via numpy==3\n")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    record = json.loads(json.dumps(this_machine()))
    assert set(record) == {"cpu", "system", "libc", "python", "packages", "settings"}
    assert record["cpu"] and record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(record["packages"]) == {"numpy", "no-such-package"} and record["packages"]["numpy"] != "0.1"
    assert record["packages"]["no-such-package"] == "not installed"
    assert record["settings"]["MKL_CBWR"] == "COMPATIBLE"
    assert str(tmp_path) not in json.dumps(record)
    assert record == this_machine()


def test_the_machine_is_always_shown_and_of_the_rest_what_differs():
    here = {"cpu": "A", "system": "Linux x86_64", "libc": "glibc 2.36", "python": "3.11.7"}
    here |= {"packages": {"numpy": "2.0", "torch": "2.13.0+cpu"}, "settings": {"MKL_CBWR": "COMPATIBLE"}}
    there = here | {"cpu": "B", "packages": {"numpy": "2.0", "torch": "2.13.0"}, "settings": {"OPENCV_IPP": "disabled"}}
    lines = compare(there, here)
    assert lines[0] == ("cpu", "B", "A") and len(lines) == 7
    assert lines[4:] == [
        ("torch", "2.13.0", "2.13.0+cpu"),
        ("MKL_CBWR", "none", "COMPATIBLE"),
        ("OPENCV_IPP", "disabled", "none"),
    ]
    # What was not recorded is not compared.
    assert compare({"packages": pins("numpy==1.0\n")}, here)[0] == ("cpu", "not recorded", "A")
    assert [one[0] for one in compare({"packages": {"numpy": "2.0"}}, here)][4:] == ["torch"]
