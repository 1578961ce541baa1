#!/bin/sh
# Builds ./plugin, which the manifest names. `plugd dev` runs this before each deployment; before `plugd package` and
# `plugd install` run it yourself: the package gets the program, not what Cargo keeps in target.
set -eu
cd "$(dirname "$0")"
cargo build --release
cp "${CARGO_TARGET_DIR:-target}/release/plugin" plugin
