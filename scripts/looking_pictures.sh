#!/usr/bin/env bash
# docs/images/looking: a network that tells generated shapes apart, looked into. Two minutes.
#   scripts/looking_pictures.sh docs/images/looking
set -euo pipefail
target=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python -m cnnexp dataset=shapes 'model.widths=[[16],[32],[64],[64]]' model.reduce=average \
  'model.dense=[]' trainer.max_epochs=12 optimizer.lr=0.005 visualization=none tracking=none name=looking
python -m cnnexp task=visualize run="$(echo outputs/looking/*)" \
  'visualization=[activations,filters,projection]' visualization.activations.channels=8 \
  visualization.filters.count=8 'visualization.filters.layers=[block1,block4]' \
  visualization.projection.images=3
mkdir -p "$target"
cd outputs/looking/*/visualization
cp activations_2.png filters_block1.png filters_block4.png projection.png "$target"
