"""A page for each config group, from its YAML files and the docstrings of what they name.

    python scripts/config_reference.py <folder>

`make docs` runs it; imports no torch.
"""

import ast
import re
import sys
from pathlib import Path

from cnnexp.config.groups import config_folder, read_groups
from cnnexp.config.help import KEYS, MEANING
from cnnexp.config.source import find, read_module, split_target
from cnnexp.files import whole_file


def pages() -> dict[str, str]:
    """File name -> Markdown, the index first."""
    folder = config_folder()
    groups = read_groups([folder])
    names = [*MEANING, *sorted(groups.keys() - MEANING.keys())]
    names = [name for name in names if name in groups]
    found = {"index.md": index(folder, names)}
    for name in names:
        found[f"{file_name(name)}.md"] = group_page(folder, name, groups[name])
    return found


def file_name(group: str) -> str:
    return group.replace("/", "_")


def index(folder: Path, names: list[str]) -> str:
    rows = [f"| [`{name}`]({file_name(name)}.md) | {MEANING.get(name, '')} |" for name in names]
    keys = [f"| `{key}` | {cell(meaning)} |" for key, meaning in KEYS]
    listing = "\n".join(file_name(name) for name in names)
    return "\n".join(
        [
            "# Config groups and keys",
            "",
            "A run is composed: one option of each group (`group=option`), then single keys "
            "(`key=value`). What you type counts most, then the experiment, then the options, then "
            "the primary config. `python -m cnnexp --cfg job …` prints what came out. These pages "
            "are made from the YAML files and the code that they name.",
            "",
            "| group | decides |",
            "|---|---|",
            *rows,
            "",
            "## The keys that are typed most",
            "",
            "| key | is |",
            "|---|---|",
            *keys,
            "",
            "## The primary config",
            "",
            fenced((folder / "config.yaml").read_text(encoding="utf-8"), "yaml"),
            "",
            "```{toctree}",
            ":hidden:",
            "",
            listing,
            "```",
            "",
        ]
    )


def group_page(folder: Path, group: str, options: dict[str, str]) -> str:
    meaning = MEANING.get(group, "")
    lines = [f"# {group}", "", f"{meaning[:1].upper()}{meaning[1:]}.", ""]
    lines += ["| option | is |", "|---|---|"]
    page = file_name(group)
    lines += [f"| [`{name}`](#{page}-{name}) | {cell(text)} |" for name, text in options.items()]
    for name in options:
        text = (folder / group / f"{name}.yaml").read_text(encoding="utf-8")
        lines += ["", f"({page}-{name})=", f"## {name}", "", fenced(text, "yaml")]
        for target in dict.fromkeys(re.findall(r"^ *_target_: *([\w.]+)", text, re.MULTILINE)):
            lines += ["", *described(target)]
    return "\n".join([*lines, ""])


def described(target: str) -> list[str]:
    """Of our own code the docstring; of a library's the name."""
    if not target.startswith("cnnexp."):
        return [f"`{target}`: see its library's own documentation."]
    module_name, name = split_target(target)
    module = read_module(module_name)
    found = find(module, name) if module else None
    if found is None or not isinstance(found.node, ast.FunctionDef | ast.ClassDef):
        raise ValueError(f"{target} is not found in the code")
    text = ast.get_docstring(found.node) or ast.get_docstring(found.module.tree) or ""
    return [f"`{target}`", "", fenced(text, "text")]


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def cell(text: str) -> str:
    """In a table, as it is: no Markdown, no HTML."""
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):  # of a group that is no more
        old.unlink()
    for name, text in pages().items():
        with whole_file(folder / name) as file:
            file.write(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
