"""Python and the installed packages against what the project asks for."""

import importlib
import importlib.metadata
import platform
import warnings

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cnnexp.doctor.finding import Finding, note, ok, problem

NAMED = ("torch", "torchvision", "pytorch-lightning", "mlflow", "hydra-core")


def python() -> Finding:
    version = platform.python_version()
    try:
        wanted = importlib.metadata.metadata("cnnexp")["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        return note(f"{version}; cnnexp itself is not installed", "pip install --editable .")
    if not SpecifierSet(wanted).contains(version, prereleases=True):
        return problem(f"{version}, needed is {wanted}", "make an environment with such a Python")
    return ok(version)


def packages(requirements: list[str] | None = None) -> list[Finding]:
    """A line for each package that is missing or of another version; else one with the main ones.

    requirements: as in pyproject.toml; None: those that cnnexp was installed with.
    """
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("cnnexp") or []
        except importlib.metadata.PackageNotFoundError:
            return []  # said of Python already
    needed = [Requirement(line) for line in requirements]
    needed = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    found, wrong = {}, []
    for requirement in needed:
        name, wanted = requirement.name, str(requirement.specifier)
        install = f"pip install '{name}{wanted}'"
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(problem(f"{name} is not installed", install))
            continue
        if not requirement.specifier.contains(found[name], prereleases=True):
            wrong.append(problem(f"{name} {found[name]}, needed is {wanted}", install))
    named = ", ".join(f"{name} {found[name]}" for name in NAMED if name in found)
    return wrong or [ok(f"{len(needed)} as required: {named}")]


def torch() -> Finding:
    """The build, and whether torchvision, which has code of its own, fits it."""
    library = importlib.import_module("torch")
    build = f"CUDA {library.version.cuda}" if library.version.cuda else "CPU build"
    if library.version.hip:
        build = f"ROCm {library.version.hip}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a missing libjpeg, which nobody uses here
            importlib.import_module("torchvision.ops")
    except (ImportError, OSError, RuntimeError) as error:
        return problem(
            f"{library.__version__} ({build}), but torchvision does not work with it "
            f"({str(error).splitlines()[0]})",
            "install both from one index: pip install --force-reinstall torch torchvision",
        )
    return ok(f"{library.__version__}, {build}")
