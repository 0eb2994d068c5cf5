#!/usr/bin/env bash
# Build cnnexp's images with what is installed here, from docker/Dockerfile and singularity.def:
#   scripts/build_containers.sh cpu|cuda [--build-arg NAME=VALUE ...]
# docker, podman or buildah make cnnexp:cpu; apptainer or singularity make build/cnnexp-cpu.sif.
set -euo pipefail
cd "$(dirname "$0")/.."

variant=${1:-}
case $variant in
    cpu) index=https://download.pytorch.org/whl/cpu ;;
    cuda) index=pypi ;;
    *) echo "usage: scripts/build_containers.sh cpu|cuda [--build-arg NAME=VALUE ...]" >&2; exit 2 ;;
esac
shift
arguments=(--build-arg "TORCH_INDEX=$index" "$@")

first() { for tool in "$@"; do command -v "$tool" && return; done; true; }
# A docker command without a running engine is of no use.
if docker info >/dev/null 2>&1; then engine=docker; else engine=$(first podman buildah); fi
apptainer=$(first apptainer singularity)

if [ -z "$engine$apptainer" ]; then
    echo "error: no running docker, no podman, buildah, apptainer or singularity here; install one" >&2
    exit 1
fi
if [ -n "$engine" ]; then
    "$engine" build --file docker/Dockerfile --tag "cnnexp:$variant" "${arguments[@]}" .
    echo "built cnnexp:$variant with $engine"
else
    echo "no running docker, no podman, no buildah: cnnexp:$variant is not built"
fi
if [ -n "$apptainer" ]; then
    mkdir -p build
    "$apptainer" build --force "${arguments[@]}" "build/cnnexp-$variant.sif" singularity.def
    echo "built build/cnnexp-$variant.sif with $apptainer"
else
    echo "no apptainer, no singularity: build/cnnexp-$variant.sif is not built"
fi
