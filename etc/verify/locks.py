"""Two states of dvc.lock, stage by stage: equal, or where the bytes part and what only follows from that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dvc.utils.flatten import flatten

# The part ``stages`` of a dvc.lock.
Stages = Mapping[str, Mapping[str, Any]]
Kind = Literal["equal", "first", "follows", "changed", "unfinished"]


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one stage.

    Attributes:
        stage: its name.
        kind: ``equal``: the outputs are the committed bytes. ``first``: the same command, code, parameters and inputs
            gave other bytes. ``follows``: so it is because its inputs differ. ``changed``: its outputs differ, and
            somebody has changed what it runs. ``unfinished``: it has not run, or files are not as it left them.
        details: what differs; the stages where it began; what was changed; what is wrong.
    """

    stage: str
    kind: Kind
    details: tuple[str, ...] = ()


def compare(committed: Stages, here: Stages, wrong: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """A verdict on each stage.

    Args:
        committed: the stages that git has.
        here: those of the workspace, as they have run.
        wrong: for every stage of the graph, in the order to show, what on disk is not as in ``here``.
    """
    made = {name: _differing(committed.get(name, {}), here.get(name, {}), "outs") for name in wrong}
    found: dict[str, Verdict] = {}
    sources: dict[str, list[str]] = {}
    for name, problems in wrong.items():
        old, new = committed.get(name), here.get(name)
        if problems or new is None:
            found[name] = Verdict(name, "unfinished", tuple(problems) or ("has not run",))
            continue
        if old is None:
            found[name] = Verdict(name, "changed", ("is not in the committed dvc.lock",))
            continue
        inputs = {
            path: [one for one, paths in made.items() if any(_overlap(path, other) for other in paths)]
            for path in _differing(old, new, "deps")
        }
        sources[name] = sorted({one for makers in inputs.values() for one in makers})
        edits = _edits(old, new, [path for path, makers in inputs.items() if not makers])
        if not made[name]:
            found[name] = Verdict(name, "equal", edits)
        elif edits:
            found[name] = Verdict(name, "changed", edits)
        elif sources[name]:
            found[name] = Verdict(name, "follows")
        else:
            found[name] = Verdict(name, "first", made[name])

    def origins(name: str) -> set[str]:
        return {name}.union(*map(origins, sources[name])) - {name} if found[name].kind == "follows" else {name}

    return [
        Verdict(one.stage, one.kind, tuple(name for name in wrong if name in origins(one.stage)))
        if one.kind == "follows"
        else one
        for one in found.values()
    ]


def _edits(old: Mapping[str, Any], new: Mapping[str, Any], paths: Iterable[str]) -> tuple[str, ...]:
    """What somebody has changed of a stage: the command, parameters, code and files that no stage makes differently."""
    edits = ["its command"] if old["cmd"] != new["cmd"] else []
    if {one["path"] for one in old.get("outs", ())} != {one["path"] for one in new.get("outs", ())}:
        edits += ["declares other outputs"]
    before, after = old.get("params", {}), new.get("params", {})
    for file in sorted({*before, *after}):
        # Some keys hold a block; what differs inside is named.
        values = [flatten(one.get(file, {})) for one in (before, after)]
        keys = sorted(key for key in {*values[0], *values[1]} if values[0].get(key) != values[1].get(key))
        edits += [f"{file}: {', '.join(keys)}"] if keys else []
    return (*edits, *paths)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], key: Literal["deps", "outs"]) -> tuple[str, ...]:
    """Paths whose content differs, or that one side lacks."""
    before, after = ({one["path"]: one[one.get("hash", "md5")] for one in side.get(key, ())} for side in (old, new))
    return tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
