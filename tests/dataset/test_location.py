"""Where the files of a data set are looked for."""

import pytest

from etc.core.errors import UserError
from etc.dataset import location
from etc.dataset.location import Location


@pytest.fixture
def folders(tmp_path, monkeypatch):
    for name in ("given", "named", "general", "store/there"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("ETC_DATA", str(tmp_path / "store"))
    for name in ("ETC_ROOT_CITY", "CITY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_parameters_come_before_variables_and_variables_before_downloads(folders, monkeypatch):
    everything = Location(str(folders / "given"), ("ETC_ROOT_CITY", "CITY"), "there")
    unnamed = Location(None, ("ETC_ROOT_CITY", "CITY"), "there")
    assert unnamed.find() == folders / "store/there"
    assert Location(None, ("CITY",), "elsewhere").find() is None
    assert Location(None).find() is None
    monkeypatch.setenv("CITY", str(folders / "general"))
    assert unnamed.find() == folders / "general"
    monkeypatch.setenv("ETC_ROOT_CITY", str(folders / "named"))
    assert unnamed.find() == folders / "named"
    assert everything.find() == folders / "given"


def test_a_folder_that_is_named_must_be_there(folders, monkeypatch):
    with pytest.raises(UserError, match="nowhere: no such folder; correct root in params"):
        Location(str(folders / "nowhere")).find()
    monkeypatch.setenv("ETC_ROOT_CITY", str(folders / "gone"))
    with pytest.raises(UserError, match="gone: no such folder; correct the environment variable ETC_ROOT_CITY"):
        Location(None, ("ETC_ROOT_CITY",), "there").find()


def test_files_are_looked_for_where_they_were_made_and_then_with_their_owner(folders, monkeypatch):
    root = folders / "data"
    root.mkdir()
    assert location.locate(root, "a.png") == root / "a.png"
    assert location.external(root) is None
    location.write_pointer(root, Location(None, (location.variable("city"),)))
    with pytest.raises(UserError, match="the folder of this data set is not found; .*ETC_ROOT_CITY"):
        location.locate(root, "a.png")
    monkeypatch.setenv("ETC_ROOT_CITY", str(folders / "named"))
    assert location.locate(root, "a.png") == folders / "named/a.png"
    (root / "a.png").touch()
    assert location.locate(root, "a.png") == root / "a.png"
    (root / location.POINTER).write_text("{}")
    with pytest.raises(UserError, match="not a pointer to a data set"):
        location.locate(root, "b.png")


def test_the_pointer_is_the_same_on_every_machine(folders, monkeypatch):
    texts = []
    for name in ("named", "general"):
        monkeypatch.setenv("ETC_ROOT_CITY", str(folders / name))
        location.write_pointer(folders, Location(None, ("ETC_ROOT_CITY",), "there"))
        texts.append((folders / location.POINTER).read_text())
    assert texts[0] == texts[1] and str(folders) not in texts[0]
