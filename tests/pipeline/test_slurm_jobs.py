"""Why jobs of Slurm failed is said in one line; the texts are those of Slurm 22.05 and of shells."""

import os

import pytest

from etc.pipeline import slurm


def log(rule, number, text):
    path = slurm.LOGS / f"rule_{rule}" / "street_0" / f"{number}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slurmstepd-vm: error: Exceeded job memory limit", "`mem_mb`"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=2.batch", "`mem_mb`"),
        ("slurmstepd: error: *** JOB 7 ON vm CANCELLED AT 2026-11-30T16:00:55 DUE TO TIME LIMIT ***", "`runtime`"),
        ("/spool/job00003/slurm_script: 4: /home/me/.venv/bin/python: not found", "environment"),
        (
            "/spool/job00003/slurm_script: line 4: /home/me/.venv/bin/python3.11: No such file or directory",
            "environment",
        ),
        ("/home/me/.venv/bin/python: No module named snakemake", "environment"),
    ],
)
def test_the_reason_and_the_parameter_are_said(tmp_path, monkeypatch, capsys, text, words):
    monkeypatch.chdir(tmp_path)
    old = log("train_student", 6, text)
    os.utime(old, (100, 100))
    log("train_teacher", 7, f"Building DAG of jobs...\n{text}\n")
    log("write_report", 8, "error: data/street/x.png: no such file")
    slurm.explain(since=200)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: job 7 of Slurm (train_teacher) ") and words in line and line.endswith("/7.log")


def test_without_slurm_nothing_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    slurm.explain(since=0)
    assert capsys.readouterr().err == ""
