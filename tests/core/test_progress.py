"""What a log shows of a long loop."""

from etc.core import progress


def test_log_has_counts_remaining_time_and_note(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    losses = []
    for step in progress.track(range(3), 5, "street teacher", done=2, note=lambda: f"loss {losses[-1]:.2f}"):
        losses.append(step / 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines):
        assert line.startswith("street teacher:") and f"{number + 3}/5" in line and f"loss {number / 2:.2f}" in line
        assert "<" in line  # elapsed<remaining


def test_an_unknown_total_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    assert list(progress.track("ab", None, "predict")) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1].startswith("predict: 2it [") and "%" not in lines[1]


def test_terminal_shows_the_note(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress.track([1, 2], 2, "job", note=lambda: "loss 0.5")) == [1, 2]
    assert "2/2" in capsys.readouterr().err


def test_items_pass_unchanged_without_a_note(capsys):
    assert list(progress.track("abc", 3, "job")) == ["a", "b", "c"]
