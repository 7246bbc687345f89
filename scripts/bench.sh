#!/usr/bin/env bash
# Runs the benchmarks of the crates that have some.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

packages=()
for manifest in */Cargo.toml */*/Cargo.toml; do
  grep -q '^\[\[bench\]\]' "$manifest" || continue
  packages+=(--package "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)")
done
if [ ${#packages[@]} = 0 ]; then
  echo "No crate has a benchmark."
  exit 0
fi
cargo bench --locked "${packages[@]}" "$@"
