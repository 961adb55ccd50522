"""What one has made, others pull and need not make again: through a folder, an S3 server and an SSH server."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.scenarios.project import Project, wait_for
from tests.sources import camvid_world

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
VIDEO = camvid_world.PUBLISHED["val"]
PICTURE = camvid_world.picture(0, (32, 64))
COMMIT = "git add -A && git -c user.name=t -c user.email=t@localhost commit -qm remote"


@dataclasses.dataclass
class Remote:
    """A DVC remote.

    Attributes:
        url: where it is.
        options: those that everybody needs, in .dvc/config.
        own: those of one user, in .dvc/config.local.
        wrong: those of a user that the server does not know.
        refused: what DVC then says.
        secrets: what no message may show.
        down: options that lead to no server.
    """

    url: str
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    own: dict[str, str] = dataclasses.field(default_factory=dict)
    wrong: dict[str, str] = dataclasses.field(default_factory=dict)
    refused: str = ""
    secrets: tuple[str, ...] = ()
    down: dict[str, str] = dataclasses.field(default_factory=dict)

    def name(self, project: Project, **changes: str) -> None:
        """Make it the only remote of a project, as `dvc remote add -d` and `modify` do."""
        config = project.folder / ".dvc/config"
        core = config.read_text().partition("['remote")[0].replace("    remote = store\n", "")
        config.write_text(f"{core}    remote = store\n{section({'url': self.url} | self.options | changes)}")

    def enter(self, project: Project, account: dict[str, str]) -> None:
        """Let a project use an account, as `dvc remote modify --local` does."""
        (project.folder / ".dvc/config.local").write_text(section(account))


def section(options: dict[str, str]) -> str:
    return "['remote \"store\"']\n" + "".join(f"    {name} = {value}\n" for name, value in options.items())


@pytest.fixture(autouse=True)
def without_own_accounts(tmp_path, monkeypatch):
    """Nobody's account of this machine is used, nor a proxy."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path) -> Remote:
    return Remote(str(tmp_path / "remote"))


@contextlib.contextmanager
def served(command: list[str | Path], port: int, log: Path, **variables: str) -> Iterator[None]:
    """A server of this machine alone, until the end of the block."""
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env=os.environ | variables)
    try:
        wait_for(lambda: listens(port) or server.poll() is not None, 60)
        assert server.poll() is None, log.read_text()
        yield
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def s3(tmp_path) -> Iterator[Remote]:
    """A bucket that one account may use."""
    pytest.importorskip("dvc_s3", reason="the extra 's3' is not installed")
    pytest.importorskip("moto.server", reason="moto is not installed")
    import boto3

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    anybody = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # After the four calls below the server asks who is calling.
    with served(command, port, tmp_path / "moto.log", INITIAL_NO_AUTH_ACTION_COUNT="4"):
        boto3.client("s3", endpoint_url=url, **anybody).create_bucket(Bucket="bucket")
        accounts = boto3.client("iam", endpoint_url=url, **anybody)
        accounts.create_user(UserName="user")
        key = accounts.create_access_key(UserName="user")["AccessKey"]
        accounts.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=json.dumps(allowed))
        own = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
        yield Remote(
            "s3://bucket/etc",
            {"endpointurl": url, "region": "us-east-1"},
            own,
            own | {"secret_access_key": "not-to-be-seen"},
            "Forbidden",
            ("not-to-be-seen", key["SecretAccessKey"]),
            {"endpointurl": f"http://127.0.0.1:{free_port()}"},
        )


@pytest.fixture
def ssh(tmp_path) -> Iterator[Remote]:
    """A folder on a machine that lets one key in."""
    pytest.importorskip("dvc_ssh", reason="the extra 'ssh' is not installed")
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs the programs of OpenSSH")
    home, port = tmp_path / "server", free_port()
    (home / "store").mkdir(parents=True)
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        # Where the service has never been started.
        Path("/run/sshd").mkdir(exist_ok=True)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with served([SSHD, "-D", "-e", "-f", home / "config"], port, tmp_path / "sshd.log"):
        yield Remote(
            f"ssh://{user}@127.0.0.1:{port}{home}/store",
            own={"keyfile": str(home / "user")},
            wrong={"keyfile": str(home / "other")},
            refused="Permission denied",
            secrets=tuple((home / name).read_text().splitlines()[1] for name in ("other", "user")),
            down={"url": f"ssh://{user}@127.0.0.1:{free_port()}{home}/store"},
        )


@pytest.fixture(params=["folder", "s3", "ssh"])
def remote(request) -> Remote:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["s3", "ssh"])
def server(request) -> Remote:
    return request.getfixturevalue(request.param)


def test_a_clone_with_pulled_data_has_nothing_to_do(project, remote, tmp_path):
    remote.name(project)
    remote.enter(project, remote.own)
    project.run(f"dvc push -q && {COMMIT}")
    clone = dataclasses.replace(project, folder=tmp_path / "clone")
    project.run(f"git clone -q {project.folder} {clone.folder}")
    remote.enter(clone, remote.own)
    clone.run("dvc pull -q")
    if "://" not in remote.url:
        clone.assert_settled()
    assert "up to date" in clone.run("dvc status").text
    assert clone.contents() == project.contents()


def test_what_bars_the_way_is_said_in_one_line_and_the_next_run_carries_on(project, server):
    server.name(project)
    server.enter(project, server.wrong)
    texts = [failure(project, "dvc push", server.refused)]
    server.name(project, **server.down)
    server.enter(project, server.own)
    texts.append(failure(project, "dvc push", "onnect"))
    assert "127.0.0.1" in texts[-1]
    assert not any(secret in text for text in texts for secret in server.secrets)
    server.name(project)
    project.run("dvc push -q")
    assert "in sync" in project.run("dvc status -c").text


def test_foreign_frames_are_never_pushed(project, folder, tmp_path, monkeypatch):
    frames = {name: tmp_path / name for name in ("camvid", "cityscapes_small")}
    camvid_world.segnet(frames["camvid"], {"train": camvid_world.PUBLISHED["train"][:2], "val": VIDEO})
    for split, city in (("train", "ulm"), ("val", "bonn")):
        name = f"{split}/{city}/{city}_000000_000019"
        camvid_world.write(frames["cityscapes_small"] / f"leftImg8bit/{name}_leftImg8bit.png", PICTURE)
        labels = frames["cityscapes_small"] / f"gtFine/{name}_gtFine_labelIds.png"
        camvid_world.write(labels, np.full(PICTURE.shape[:2], 7, np.uint8))
    project.change("experiment.yaml", "run", list(frames))
    project.change("experiment.yaml", "architectures", ["efficientnet_lite0"])
    project.change("frames.yaml", "cityscapes_small.sequences", False)
    for name, place in frames.items():
        monkeypatch.setenv(f"ETC_ROOT_{name.upper()}", str(place))
        project.change("report.yaml", f"{name}.baseline", "tl")
    folder.name(project)
    project.repro(" ".join(f"frames@{name}" for name in frames))
    project.run("dvc push")
    pushed = objects(folder)
    assert {(project.folder / f"data/{name}/frames.parquet").read_bytes() for name in frames} <= set(pushed)
    foreign = [path.read_bytes() for place in frames.values() for path in place.rglob("*.png")]
    assert len(foreign) > 2 * len(VIDEO) and not any(one in each for one in foreign for each in pushed)
    assert sorted(path.name for path in project.folder.glob("data/*/root/*")).count("external.json") == len(frames)


def objects(folder: Remote) -> list[bytes]:
    """The content of all files of a remote that is a folder."""
    return [path.read_bytes() for path in Path(folder.url, "files").rglob("*") if path.is_file()]


def failure(project: Project, command: str, reason: str) -> str:
    """What a command prints that cannot succeed: the reason in one line, no traceback."""
    result = project.run(command, check=False)
    assert result.code and "Traceback" not in result.text, result.text
    (line,) = [line for line in result.text.splitlines() if line.startswith("ERROR: ") and "failed to pu" not in line]
    assert reason in line
    return result.text
