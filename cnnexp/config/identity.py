"""Which configs are the same run: a run that was done before is recognised by this."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# What says nothing of what a run is: where things lie, what was typed, how it is run.
PASSING = (
    "paths", "tracking", "overrides", "resume", "n_jobs", "search", "suite", "job", "reproduces",
    "a", "b",
)  # fmt: skip


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits, of all keys but `PASSING`."""
    own = {key: config[key] for key in config if key not in PASSING}
    text = json.dumps(own, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
