"""The site: `make docs` builds it into build/docs, `make docs-links` follows its links."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "scripts"))

import config_reference  # noqa: E402

import cnnexp  # noqa: E402

config_reference.write(DOCS / "reference")

project = "cnnexp"
version = release = cnnexp.__version__
copyright = "the authors of cnnexp, MIT licence"
extensions = ["myst_nb", "sphinx_copybutton"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_heading_anchors = 3
nb_execution_mode = "force"  # a notebook that fails fails the build
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"  # libraries' warnings, with paths of the machine that built the site
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = "cnnexp"
html_show_sourcelink = False
html_copy_source = False
linkcheck_timeout = 20
