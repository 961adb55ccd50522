"""Runs commands in forks of a process that has loaded what they load, but nothing of ``etc`` itself.

    python server.py SOCKET

See ``sitecustomize.py``, the other end.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

MODULES = (
    "torch",
    "torch._dynamo",
    "accelerate",
    "configobj",
    "cv2",
    "dvc.cli.parser",
    "dvc.commands.repro",
    "dvc.commands.status",
    "dvc.data_cloud",
    "dvc.repo",
    "dvc.repo.index",
    "dvc.repo.plots",
    "dvc.rwlock",
    "dvc.scm",
    "dvc.utils.strictyaml",
    "dvc_http",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "networkx",
    "pandas",
    "pandas.core.methods.to_dict",
    "PIL.ImageDraw",
    "platformdirs",
    "pyarrow.dataset",
    "pyarrow.ipc",
    "pyarrow.parquet",
    "pydantic",
    "rich.console",
    "rich.table",
    "ruamel.yaml",
    "safetensors.torch",
    "snakemake.cli",
    "snakemake.executors.local",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "snakemake.storage",
    "smart_open",
    "tqdm",
    "typer",
    "yaml",
)


def main(address: str) -> None:
    for name in MODULES:
        importlib.import_module(name)
    assert not any(name.split(".")[0] == "etc" for name in sys.modules)
    gc.freeze()
    # Nobody waits for the forks; those that asked are answered by the forks themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        listening.settimeout(5)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                with connection:
                    if os.fork() == 0:
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        listening.close()
                        serve(connection)
                        os._exit(0)


def serve(connection: socket.socket) -> None:
    """Run one command in another fork and answer with its exit code."""
    connection.settimeout(None)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(run(request, streams))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())


def run(request: dict, streams: list[int]) -> int:
    """The command, as if Python had just been started with it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module = request["argv"][0] == "-m"
    script, *_ = sys.argv = request["argv"][module:]
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [request["cwd"] if module else str(Path(script).parent), *own]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        (runpy.run_module if module else runpy.run_path)(script, run_name="__main__")
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main(sys.argv[1])
