"""What MkDocs makes of docs/ beyond Markdown: formulas, the diagram, links out of docs/, the page of parameters.

Everything is made while the site is built, so that its pages need nothing from elsewhere.
"""

import html
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import latex2mathml.converter
import mmdr
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from etc.core.params_file import Params, parse
from etc.params import evaluate, experiment, flow, frames, labeller, pretrain, pseudo_labels, report, student, teacher
from etc.sources.registry import SOURCES
from etc.sources.street.params import StreetParams

ROOT = Path(__file__).parents[1]
# Each params file with the models of its blocks; a block of frames.yaml has the model of its source.
MODELS: list[tuple[Path, dict[str, type[Params]]]] = [
    (experiment.PATH, {"": experiment.ExperimentParams}),
    (frames.PATH, {"street": StreetParams} | {name: model for name, (model, _) in SOURCES.items()}),
    (flow.PATH, {"street": flow.FlowBlock}),
    (labeller.PATH, {"street": labeller.LabellerParams}),
    (pseudo_labels.PATH, {"street": pseudo_labels.PseudoLabelParams}),
    (teacher.PATH, {"street": teacher.TeacherParams}),
    (pretrain.PATH, {"street": pretrain.PretrainParams}),
    (student.PATH, {"street": student.StudentParams}),
    (evaluate.PATH, {"street": evaluate.EvaluateParams}),
    (report.PATH, {"street": report.ReportParams}),
]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "multipleOf": "multiple of"}
KINDS = {
    "integer": "whole number",
    "boolean": "true or false",
    "string": "text",
    "array": "list",
    "object": "mapping",
}
# Where a meaning says the unit of its number: at its beginning, or after a comma, a colon or "in".
UNIT = re.compile(
    r"(?:^|, |: | in )(pixels|metres per frame|degrees|seconds|milliseconds|MB|iterations|optimiser steps|"
    r"frames a second|frames|clips|dots per inch|share|probability|factors?)\b"
)
MISSING = object()


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made here, and the pictures of the street; those of other data sets are not ours."""
    files.append(File.generated(config, "parameters.md", content=parameters()))
    files.append(File.generated(config, "measure.md", content=notebook(ROOT / "docs/measure.ipynb")))
    for picture in sorted(ROOT.glob("results/street*/plots/*")):
        files.append(File.generated(config, picture.relative_to(ROOT).as_posix(), abs_src_path=str(picture)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that are made for GitHub: out of docs/, to the notebook, and with the name of a page as their text."""
    folder = posixpath.dirname(page.file.src_uri)

    def titled(found: re.Match[str]) -> str:
        file = files.get_file_from_path(posixpath.normpath(posixpath.join(folder, found[1])))
        return f"[{file.content_string.splitlines()[0].removeprefix('# ')}]({found[1]}" if file else found[0]

    def link(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        if path.startswith("docs/") or not (ROOT / path).exists():
            return found[0]  # MkDocs says so when it is broken
        if files.get_file_from_path(path):
            return f"{mark}[{text}]({get_relative_url(path, page.file.src_uri)})"
        return f"[{text}]({config.repo_url}/blob/main/{path})" if config.repo_url else text

    markdown = re.sub(r"\[([\w./-]+\.md)\]\(\1", titled, markdown.replace("(measure.ipynb)", "(measure.md)"))
    return re.sub(r"(!?)\[([^]]*)\]\((\.\./[^)#]*)\)", link, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, the diagram as SVG, and no Sphinx roles around the names in docstrings."""
    for pattern, display in ((r"\\\((.*?)\\\)", "inline"), (r"\\\[(.*?)\\\]", "block")):
        content = re.sub(
            rf'<(span|div) class="arithmatex">{pattern}</\1>',
            lambda found, display=display: mathml(found[2], display),
            content,
            flags=re.DOTALL,
        )
    content = re.sub(
        r'<pre class="mermaid"><code>(.*?)</code></pre>',
        lambda found: f'<div class="diagram">{mmdr.render(html.unescape(found[1])).svg()}</div>',
        content,
        flags=re.DOTALL,
    )
    return re.sub(r":(?:class|func|meth|mod):(?=<code>)", "", content)


def mathml(formula: str, display: str) -> str:
    """A formula as browsers show it; brackets grow by themselves there."""
    return latex2mathml.converter.convert(re.sub(r"\\[Bb]ig(?![a-z])", "", html.unescape(formula)), display=display)


def notebook(path: Path) -> str:
    """The cells of a notebook and what they printed, as a page."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [f"```text\n{''.join(output['text'])}```" for output in cell.get("outputs", [])]
    return "\n\n".join(parts)


def parameters() -> str:
    """The page of parameters: each key of each params file, from its model and from the file that ships."""
    parts = [
        "# Parameters",
        "One file per stage in `params/`. *Default* is the value in the block `street` of the file that ships, or of "
        "the first block with that source; other blocks differ where their data set needs it. A number without "
        "a unit is a count, a weight or a factor. A wrong key or value is reported before anything runs.",
    ]
    for path, models in MODELS:
        content = parse((ROOT / path).read_text(encoding="utf-8"), path)
        parts.append(f"## {path.name}")
        for name, model in models.items():
            block = content
            if path == frames.PATH:
                parts.append(f"### source: {name}")
                block = next((one for one in content.values() if one.get("source") == name), {})
            elif name:
                block = content[name]
            parts.append((model.__doc__ or "").split("\n\n")[0])
            rows = ["| key | type | unit | range | default | meaning |", "|---|---|---|---|---|---|"]
            schema = model.model_json_schema()
            rows += [f"| {' | '.join(row)} |" for row in table(schema, schema.get("$defs", {}), block)]
            parts.append("\n".join(rows))
    return "\n\n".join(parts)


def table(schema: dict[str, Any], models: dict[str, Any], block: Any, above: str = "") -> Iterator[list[str]]:
    """Rows of the keys of a model, those of the models in it below its own key.

    Args:
        schema: JSON schema of the model.
        models: schemas of the models in it, by name.
        block: the values that ship; without a key the default of the model holds.
        above: keys that lead to the model, with a dot at the end.
    """
    for key, field in schema["properties"].items():
        value = block.get(key, MISSING) if isinstance(block, dict) else MISSING
        kinds = [models.get(one.get("$ref", "").split("/")[-1], one) for one in field.get("anyOf", [field])]
        inner = next((one for one in kinds if "properties" in one), None)
        if value is MISSING:
            value = field.get("default", MISSING)
        if inner is None or value is None:
            meaning = field.get("description", "")
            yield [
                f"`{above}{key}`",
                " or ".join(map(kind, kinds)),
                unit(meaning) if any(map(numeric, kinds)) else "",
                ", ".join(filter(None, map(extent, kinds))),
                "required" if value is MISSING else f"`{json.dumps(value, ensure_ascii=False)}`",
                html.escape(meaning),
            ]
        if inner:
            yield from table(inner, models, value, f"{above}{key}.")


def numeric(schema: dict[str, Any]) -> bool:
    """Whether a value is a number or a list of numbers."""
    return schema.get("type") in ("integer", "number") or any(
        map(numeric, [*schema.get("prefixItems", []), *filter(None, [schema.get("items")])])
    )


def unit(meaning: str) -> str:
    """The unit that a meaning names; empty where it names none."""
    found = UNIT.search(meaning)
    return found[1] if found else ""


def kind(schema: dict[str, Any]) -> str:
    """The type of a value, as YAML has it."""
    name = schema.get("type", "whole number or text")
    return KINDS.get(name, name)


def extent(schema: dict[str, Any]) -> str:
    """Which values a schema allows."""
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    members = schema.get("items") or schema.get("additionalProperties")
    inner = extent(members) if isinstance(members, dict) else ""
    bounds = (f"{sign} {schema[name]}" for name, sign in BOUNDS.items() if name in schema)
    return ", ".join(filter(None, (*bounds, inner)))
