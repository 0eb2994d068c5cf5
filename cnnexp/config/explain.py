"""What Hydra and OmegaConf raise about a config, said in one line: what, where, what is allowed."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import (
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from yaml import YAMLError

from cnnexp.config.check import shown
from cnnexp.config.groups import Groups, listed
from cnnexp.config.own_folder import named_folder
from cnnexp.config.schema import Config
from cnnexp.errors import InputError, first_line, nearest, one_line
from cnnexp.files import shown_path

# What is raised for a wrong config; anything else is a bug and keeps its traceback.
CONFIG_ERRORS = (HydraException, OmegaConfBaseException, YAMLError)

LISTS = ("visualization",)  # groups of which several options may be chosen at once
# Of Hydra's grammar.
FUNCTIONS = ("interval", "tag", "choice", "range", "glob", "sort", "shuffle", "int", "float", "str",
             "bool")  # fmt: skip


def explained(error: Exception, overrides: Sequence[str], groups: Groups) -> InputError:
    """The error as a line for a person. groups: all that exist, for what is allowed."""
    match error:
        case InputError():
            return error
        case OverrideParseException():
            return InputError(syntax(error, groups, overrides))
        case MissingConfigException() if error.missing_cfg_file:
            return InputError(missing_option(error, groups))
        case MissingMandatoryValue():
            key = getattr(error, "full_key", None) or last_word(error)
            return InputError(f"{key}: must be given: {key}=…")
        case OmegaConfBaseException():
            where = getattr(error, "full_key", None)
            return InputError(f"{where + ': ' if where else ''}{first_line(error)}")
    for override in parsed(overrides):
        line = wrong_override(override, groups)
        if line:
            return InputError(line)
    cause = error.__cause__
    if "Cannot merge DictConfig with ListConfig" in str(cause):
        line = first_line(error).removeprefix("Error merging override ")
        wanted = "mapping: {key: value, …}" if "=[" in line else "list: [value, …]"
        return InputError(f"{line.partition(': Cannot')[0]}: must be a {wanted}")
    if isinstance(cause, OmegaConfBaseException) and str(error) in ("", str(cause)):
        return explained(cause, overrides, groups)
    if isinstance(error, YAMLError):
        tab = "; YAML is indented with spaces" if "'\\t'" in str(error) else ""
        return InputError(f"not valid YAML: {one_line(error)}{tab}")
    text = one_line(error)
    if line := wrong_defaults(text, groups):
        return InputError(line)
    if isinstance(cause, OmegaConfBaseException):
        text += f": {first_line(cause)}"
    return InputError(text)


def syntax(error: OverrideParseException, groups: Groups, overrides: Sequence[str]) -> str:
    word = error.override
    before = overrides[: overrides.index(word)] if word in overrides else ()
    if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", word):
        return (
            f"{word}: stands alone; a value follows its key and = without a space: optimizer.lr=0.1"
        )
    if word in ("--config-dir", "-cd"):  # a line of the command line, given to cnnexp.run
        return f"{word}: from Python it is cnnexp.run([…], config_dir='<folder>')"
    if word in ("-m", "--multirun"):
        return (
            f"{word}: is the command line's; from Python a sweep is sweep=seeds, or one "
            "cnnexp.run([…]) after the other"
        )
    if re.fullmatch(r"[+~]*[\w./-]+", word) and not word.startswith("~"):
        group = next((name for name, options in groups.items() if word in options), None)
        hint = f"; did you mean '{group}={word}'?" if group else nearest(word, groups)
        if not group and os.path.isfile(word):
            hint = f"; did you mean 'input={word}'?"
        elif "." in word or word in groups or word in get_type_hints(Config):  # as in seed = 3
            hint = f"; did you mean '{word}=…', without spaces?"
        elif not hint and before and "=" in before[-1]:
            hint = f"; a value with spaces needs quotes: '{before[-1]} {word}';"
        return f"{word}: has no value{hint or ';'} write key=value, such as model=lenet5"
    called = [name for name in re.findall(r"(\w+)\(", word) if name not in FUNCTIONS]
    if called:
        near = nearest(called[0], FUNCTIONS)
        return f"{word}: no such function: {called[0]}{near or ';'} allowed: {listed(FUNCTIONS)}"
    if colon := re.fullmatch(r"([+~]*[\w./]+):\s*([^=]*)", word):
        return f"{word}: a value follows its key and =; did you mean '{colon[1]}={colon[2]}'?"
    key, _, value = word.partition("=")
    if not re.search(r"[\[{(]", value) and re.search(r"^,|,,|,$", value):
        return f"{word}: a comma stands beside no value; several are written {key}=a,b, no spaces"
    closing = {"{": "}", "[": "]"}.get(value[:1])
    if closing and closing not in value:
        whole = f"'{key}={value[0]}…{closing}'"
        return f"{word}: the bracket is not closed; a value with spaces needs quotes: {whole}"
    if re.fullmatch(r"\{[\w./-]+(,[\w./-]+)+\}", value):
        return f"{word}: several values are written {key}={value[1:-1]}, with -m before them"
    problem = first_line(error).partition("See ")[0].strip()
    because = "" if "Exception" in problem else f" ({problem})"
    return (
        f"{word}: is not understood{because}; write key=value, +key=value or ~key, "
        "and quote special characters twice: 'key=\"a=b, c\"'"
    )


def missing_option(error: MissingConfigException, groups: Groups) -> str:
    file = str(error.missing_cfg_file)
    group = max((name for name in groups if file.startswith(f"{name}/")), key=len, default="")
    option = file[len(group) + 1 :]
    inside = re.match(r"In '([^']+)'", str(error))
    outer = inside is None or inside[1] in ("config", "hydra/config")
    where = f" (in {inside[1]}.yaml)" if inside and not outer else ""
    options = sorted(groups.get(group, {}))
    if not options:
        return f"{one_line(error)}"
    if where and option.partition("/")[0] in groups:  # as in '- model: lenet5'
        group, _, option = option.rpartition("/")
        file = f"{inside[1] if inside else 'config'}.yaml"
        return f"{file}: in its defaults write '- override /{group}: {option}'"
    own = "; your own files are in the folder that --config-dir names"
    hint = own if group == "experiment" and named_folder() is None else ""
    if path := misplaced(group, option):
        wanted = path.parents[1] / group / f"{option}.yaml"
        hint = f"; {shown_path(path)} belongs at {shown_path(wanted)}"
    return (
        f"{group}={option}: no such option{where}{nearest(option, options) or ';'} "
        f"allowed: {listed(options, 20)}{hint}"
    )


def misplaced(group: str, option: str) -> Path | None:
    """A person's own file of that name in a folder that is named nearly so (models/), or that ends
    in .yml.
    """
    folder = named_folder()
    for path in sorted(folder.glob("*/*")) if folder else ():
        here = path.parent.name
        near = here != group and nearest(here, [group])
        if path.stem == option and (
            (path.suffix == ".yml" and here == group) or (path.suffix in (".yml", ".yaml") and near)
        ):
            return path
    return None


def wrong_defaults(text: str, groups: Groups) -> str | None:
    """A defaults list that Hydra refuses, text: in its words."""
    found = re.match(r"In '([^']+)': Could not override '(?:experiment/)?([\w/]+)", text)
    if found:
        file, group = found.groups()
        if group in groups:
            return f"{file}.yaml: in its defaults write '- override /{group}: …', with the slash"
        return (
            f"{file}.yaml: override /{group}: no such group{nearest(group, groups) or ';'} "
            f"allowed: {listed(sorted(groups), 20)}"
        )
    found = re.match(r"In '([^']+)': .*Cannot merge (Dict|List)Config with", text)
    if found:
        wrong, right = ("list", "keys") if found[2] == "Dict" else ("key", "a list")
        return f"{found[1]}.yaml: a {wrong} stands where {right} must be"
    found = re.match(
        r"In '?([^':]+)'?: Override '.*' is defined before "
        r"'(?:experiment/)?([\w/]+)(?:@\S+)?: ([^']+)'",
        text,
    )
    if found:
        file, group, option = found.groups()
        return f"{file}.yaml: in its defaults write '- override /{group}: {option}'"
    found = re.match(r"Multiple values for (\S+)\. To override|(\S+) appears more than once", text)
    if found:
        group = found[1] or found[2]
        return f"{group}: is chosen already; in a file's defaults write '- override /{group}: …'"
    return None


def wrong_override(override: Override, groups: Groups) -> str | None:
    """What is wrong with one override by itself, as far as Hydra's grammar knows it."""
    group = override.key_or_group
    line = override.input_line or group
    if override.is_sweep_override():
        inner = line.partition("=")[2]
        if re.fullmatch(r"\d+,0\d+", inner):
            return f"{line}: a decimal has a point: {group}={inner.replace(',', '.')}"
        lists = "(" not in inner and (group not in groups or group in LISTS)
        listing = f"; a list is written {group}=[{inner}]" if lists else ""
        return f"{line}: several values make a sweep: add -m{listing}"
    if group in groups and not override.is_delete():
        value = override.value()
        if value is None or isinstance(value, int | float | bool):
            return f"{line}: no such option; allowed: {listed(sorted(groups[group]), 20)}"
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            return f"{line}: a list of options' names; allowed: {listed(sorted(groups[group]), 20)}"
        if override.is_force_add():
            return f"{line}: a config group is chosen with {group}={shown(value)}, without +"
    return None


def unknown_key(error: Exception) -> str | None:
    """The key of "Could not override 'key'": one that the composed config has not."""
    if isinstance(error, ConfigCompositionException):
        match = re.match(r"Could not override '([^']+)'", str(error))
        return match[1] if match else None
    return None


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Those that parse."""
    parser = OverridesParser.create()
    found = []
    for line in overrides:
        try:
            found.append(parser.parse_override(line))
        except HydraException:
            continue
    return found


def last_word(error: BaseException) -> str:
    return first_line(error).rpartition(" ")[2]
