"""``etc verify`` in a small repository: a chain that ran, was committed, and runs again elsewhere."""

import shutil
import subprocess

import pytest
import yaml
from dvc.repo import Repo

from etc.commands.verify import verify

HEADER = "architecture,scheme,seeds,tc_mean,delta_tc,delta_tc_low,delta_tc_high\n"
TABLE = HEADER + "pspnet18,baseline,3,81.75,,,\npspnet18,tl,3,83.04,1.29,1.04,1.55\n"
# The last stage's table is what `computer` holds, a file that no stage declares: the machine.
STAGES = {
    "check": {
        "matrix": {"folder": ["params"]},
        "cmd": "cp params/experiment.yaml data/checked",
        "outs": ["data/checked"],
    },
    "frames": {
        "matrix": {"dataset": "${run}"},
        "cmd": "mkdir -p data/${item.dataset} && cp code.txt data/${item.dataset}/frames",
        "deps": ["code.txt", "data/checked"],
        "outs": ["data/${item.dataset}/frames"],
    },
    "student": {
        "matrix": {"dataset": "${run}", "seed": [0]},
        "cmd": "cat computer > data/${item.dataset}/student",
        "deps": ["data/${item.dataset}/frames"],
        "params": [{"params/student.yaml": ["${item.dataset}"]}],
        "outs": ["data/${item.dataset}/student"],
    },
    "report": {
        "matrix": {"dataset": "${run}"},
        "cmd": "cp data/${item.dataset}/student results/${item.dataset}/tables/schemes.csv",
        "deps": ["data/${item.dataset}/student"],
        "outs": [{"results/${item.dataset}/tables/schemes.csv": {"cache": False}}],
    },
}
EXPERIMENT = {
    "run": ["street"],
    "architectures": ["pspnet18"],
    "seeds": [0],
    "plain": ["tl"],
    "distilled": ["etc"],
    "ablation": {"schemes": [], "seeds": [0]},
}


def git(folder, *arguments):
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A repository whose chain has run; only to be cloned or copied."""
    folder = tmp_path_factory.mktemp("committed")
    files = {
        ".dvc/config": "[core]\n    analytics = false\n    autostage = false\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        ".gitignore": "/data/*\n!/data/.gitkeep\n/computer\n",
        "data/.gitkeep": "",
        "results/street/tables/.gitkeep": "",
        "params/experiment.yaml": yaml.safe_dump(EXPERIMENT),
        "params/student.yaml": "street: {lr: 0.1}\n",
        "dvc.yaml": yaml.safe_dump({"vars": ["params/experiment.yaml"], "stages": STAGES}, sort_keys=False),
        "requirements.lock": "numpy==0.1\n",
        "code.txt": "code",
        "computer": TABLE,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Repo(".").reproduce()
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "results")
    return folder


@pytest.fixture
def here(committed, tmp_path, monkeypatch):
    """A copy in which the chain has run, the current folder."""
    folder = tmp_path / "here"
    shutil.copytree(committed, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def clone(committed, tmp_path, monkeypatch):
    """A clone in which nothing has run, the current folder."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", committed, folder)
    (folder / "computer").write_text(TABLE)
    monkeypatch.chdir(folder)
    return folder


def verified(capsys, *arguments, **options):
    """Exit status and output of ``etc verify``; an error is one line."""
    status = 0
    try:
        verify(list(arguments) or None, **options)
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    assert printed.err.count("error:") == printed.err.count("\n") <= 1, printed.err
    return status, printed.out + printed.err


def line(text, start):
    """The first line with a word, its blanks as one."""
    return next(" ".join(one.split()) for one in text.splitlines() if start in one)


def test_a_chain_that_ran_elsewhere_is_equal_and_leaves_git_clean(clone, capsys):
    Repo(".").reproduce()
    status, text = verified(capsys)
    assert status == 0 and "4 of 4 stages are equal." in text and text.endswith("the committed bytes.\n")
    assert line(text, "report@street") == "equal report@street"
    assert line(text, "schemes.csv") == "schemes.csv 10 0"
    assert line(text, "cpu").startswith("cpu not recorded ") and line(text, "numpy").startswith("numpy 0.1 ")
    assert not git(clone, "status", "--porcelain")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ("1.30", "The findings hold. 1 of 1 differences are in their committed interval (not widened: "),
        ("2.30", "Not all findings hold: delta_tc of pspnet18 tl. 0 of 1 differences"),
    ],
)
def test_a_machine_that_computes_other_bits_is_told_from_what_follows(clone, capsys, value, verdict):
    (clone / "computer").write_text(TABLE.replace("1.29", value))
    Repo(".").reproduce()
    status, text = verified(capsys)
    assert status == 1 and text.endswith("Different, beginning with student@street-0.\n")
    assert line(text, "frames@street") == "equal frames@street"
    assert line(text, "DIFFERS").startswith("DIFFERS student@street-0 equal command, code, parameters and inputs gave")
    assert line(text, "report@") == "follows report@street from student@street-0"
    assert "2 of 4 stages are equal; the first to differ: student@street-0; follow from that: 1." in text
    assert verdict in text


def test_a_changed_parameter_is_the_users(here, capsys):
    (here / "params/student.yaml").write_text("street: {lr: 0.2}\n")
    status, text = verified(capsys)
    assert status == 2 and "params/student.yaml.street modified" in line(text, "student@")
    (here / "computer").write_text(TABLE.replace("1.29", "1.40"))
    Repo(".").reproduce()
    status, text = verified(capsys)
    assert status == 1 and line(text, "student@") == "changed student@street-0 params/student.yaml: street.lr"
    assert "changed here: 1; follow from that: 1." in text and "DIFFERS" not in text


def test_a_clone_in_which_nothing_has_run_cannot_be_compared(clone, capsys):
    status, text = verified(capsys, "street")
    assert (
        status == 2 and "0 of 4 stages are equal; have not run, or not as they are now: 4; run `make results`." in text
    )
    assert line(text, "student@") == "not run student@street-0 has not run here"
    assert "Tables of street: not compared" in text


@pytest.mark.parametrize("damage", ["deleted", "modified"])
def test_an_output_that_is_not_as_its_stage_left_it_is_named(here, capsys, damage):
    path = here / "results/street/tables/schemes.csv"
    path.unlink() if damage == "deleted" else path.write_text("edited")
    status, text = verified(capsys)
    assert status == 2 and line(text, "report@") == f"not run report@street results/street/tables/schemes.csv {damage}"


def test_an_older_revision_can_be_compared_with(here, capsys):
    (here / "computer").write_text(TABLE.replace("1.29", "1.30"))
    Repo(".").reproduce("student@street-0", force=True, downstream=True)
    git(here, "commit", "-qam", "new results")
    assert verified(capsys)[0] == 0
    status, text = verified(capsys, against="HEAD~1")
    assert status == 1 and "beside dvc.lock of HEAD~1 (" in text and "DIFFERS" in text


def test_tables_that_were_committed_without_their_lock_differ(here, capsys):
    path = here / "results/street/tables/schemes.csv"
    whole = path.read_text()
    path.write_text(whole.replace("1.29", "1.30"))
    git(here, "commit", "-qam", "edited by hand")
    path.write_text(whole)
    status, text = verified(capsys)
    assert status == 1 and text.endswith("Different, beginning with results/street/tables/schemes.csv.\n")


def test_what_ran_without_the_portable_settings_is_named(here, capsys):
    """The settings of the comparing process say nothing of the process that trained."""
    definition = yaml.safe_load((here / "dvc.yaml").read_text())
    definition["stages"]["student"]["outs"] = ["data/${item.dataset}/config.json"]
    definition["stages"]["student"]["cmd"] = "cp computer data/${item.dataset}/config.json"
    definition["stages"].pop("report")
    (here / "dvc.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
    for portable, named in (("true", False), ("false", True)):
        (here / "computer").write_text(f'{{"portable": {portable}}}')
        Repo(".").reproduce("student@street-0", force=True)
        said = "Without the portable settings (ETC_PORTABLE=0), or on a GPU, ran here: student@street-0."
        assert (said in verified(capsys)[1]) == named


def test_the_record_of_the_machine_is_written_on_request_alone_and_shown_once_committed(here, capsys):
    status, text = verified(capsys, record=True)
    assert (status, text) == (0, "results/street/machine.json: commit it together with the results\n")
    assert git(here, "status", "--porcelain").split() == ["??", "results/street/machine.json"]
    git(here, "add", "-A")
    git(here, "commit", "-qm", "machine")
    status, text = verified(capsys)
    assert status == 0 and "not recorded" not in text and "numpy" not in text.partition("made by")[2]
    (here / "code.txt").write_text("other code")
    assert verified(capsys, record=True)[0] == 2


def no_lock(folder):
    git(folder, "rm", "-q", "--cached", "dvc.lock")
    git(folder, "commit", "-qm", "no lock")


def damaged_lock(folder):
    (folder / "dvc.lock").write_text((folder / "dvc.lock").read_text()[:-40])


def merged_lock(folder):
    path = folder / "dvc.lock"
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> other\n")


def no_stages(folder):
    (folder / "dvc.yaml").unlink()


def damaged_lock_committed(folder):
    whole = (folder / "dvc.lock").read_text()
    damaged_lock(folder)
    git(folder, "commit", "-qam", "half a lock")
    (folder / "dvc.lock").write_text(whole)


def no_tables(folder):
    git(folder, "rm", "-q", "--cached", "results/street/tables/schemes.csv")
    git(folder, "commit", "-qm", "no tables")


def no_repository(folder):
    shutil.rmtree(folder / ".git")
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")


def machine_damaged(folder):
    (folder / "results/street/machine.json").write_text("[")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "half a record")


def machine_of_numbers(folder):
    (folder / "results/street/machine.json").write_text('{"cpu": "x", "packages": {"numpy": 2}}')
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a record of numbers")


@pytest.mark.parametrize(
    ("prepare", "arguments", "against", "message"),
    [
        (None, ["camvid"], "HEAD", "params/experiment.yaml: 'run' has no data set 'camvid', only street"),
        (None, [], "nothing", "'nothing' is no revision of this repository"),
        (None, [], "--help", "'--help' is no revision of this repository"),
        (no_repository, [], "HEAD", "nothing is committed here to compare with (fatal: not a git repository"),
        (no_lock, [], "HEAD", "dvc.lock: not in revision "),
        (damaged_lock, [], "HEAD", "dvc.lock: damaged; `etc check` puts the last good one back"),
        (merged_lock, [], "HEAD", "dvc.lock: half merged; choose a side with `git checkout --ours` or `--theirs`"),
        (no_stages, [], "HEAD", "dvc.yaml: no stages of street; restore it with git"),
        (damaged_lock_committed, [], "HEAD", "damaged; name another one with --against"),
        (no_tables, [], "HEAD", "results/street/tables/schemes.csv: not in revision "),
        (machine_damaged, [], "HEAD", "results/street/machine.json of revision "),
        (machine_of_numbers, [], "HEAD", ": not a record of a machine; write it again with --record"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_status_2(here, capsys, prepare, arguments, against, message):
    if prepare:
        prepare(here)
    status, text = verified(capsys, *arguments, against=against)
    assert status == 2 and message in text.splitlines()[-1], text


def test_without_git_it_says_so(here, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    status, text = verified(capsys)
    assert status == 2 and text == "error: git: no such command; install it, the committed results are read with it\n"
