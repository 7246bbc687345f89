#!/usr/bin/env bash
# Builds what changed and starts the development server; arguments go to it.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

scripts/setup.sh build pages
scripts/pages.sh
cargo build --locked --package klieg-signaling --bin klieg
exec "$target_dir/debug/klieg" --dev "$@"
