"""Tab completion in bash: Hydra answers, also for `python -m cnnexp`, which it does not know."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

BASH = r"""_cnnexp() {
    local line="${COMP_LINE:0:COMP_POINT}" command=(cnnexp)
    if [[ ${COMP_WORDS[0]##*/} == python* ]]; then
        if [[ ! $line =~ ^[^\ ]+\ +-m\ +cnnexp\  ]]; then
            COMPREPLY=()
            return 0
        fi
        command=("${COMP_WORDS[0]}" -m cnnexp)
    fi
    local word="${line##* }" choices before="" rest path
    if [[ $word =~ ^([^=]+=)(.*[][,])([^],[]*)$ ]]; then  # a further value, or one of a list
        before="${BASH_REMATCH[1]}${BASH_REMATCH[2]}"
        line="${line%"$word"}${BASH_REMATCH[1]}${BASH_REMATCH[3]}"
    fi
    choices=$(COMP_POINT=${#line} COMP_LINE="$line" "${command[@]}" -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "${line##* }"))
    if [[ -n $before ]]; then COMPREPLY=("${COMPREPLY[@]/#*=/$before}"); fi
    if [[ ${#COMPREPLY[@]} == 0 && $word == *=* ]]; then  # files: run=outputs/ph
        before="${before:-${word%%=*}=}" rest="${line##*=}"
        for path in "$rest"*; do
            [[ -d $path ]] && path+=/
            [[ -e $path ]] && COMPREPLY+=("$before$path")
        done
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -o bashdefault -F _cnnexp cnnexp python python3"""


@contextmanager
def completion_line() -> Iterator[None]:
    """COMP_LINE as Hydra understands it: `cnnexp experiment=x mod`."""
    former = os.environ.get("COMP_LINE")
    if former is not None:
        os.environ["COMP_LINE"] = hydra_line(former)
    try:
        yield
    finally:
        if former is not None:
            os.environ["COMP_LINE"] = former


def hydra_line(line: str) -> str:
    """Without python -m, and with earlier words' `+experiment=` as `experiment=`."""
    from cnnexp.config.compose import without_plus

    line = re.sub(r"^\s*\S*python[\d.]*\s+-m\s+cnnexp\b", "cnnexp", line)
    words = line.split(" ")
    return " ".join([*without_plus(words[:-1]), words[-1]])
