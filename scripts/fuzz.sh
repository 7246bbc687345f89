#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (30), or only those named: fuzz.sh [TARGET…]
#
# Without a sanitizer cargo-fuzz works with the stable compiler; there is no unsafe code of ours that one
# would watch. What a run finds is kept in fuzz/artifacts, what it learns in fuzz/corpus.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

scripts/setup.sh fuzz
if [ $# = 0 ]; then
  mapfile -t targets < <(cargo fuzz list)
  set -- "${targets[@]}"
fi
for target in "$@"; do
  say "$target"
  folders=("fuzz/corpus/$target")
  [ ! -d "fuzz/seeds/$target" ] || folders+=("fuzz/seeds/$target")
  mkdir -p "fuzz/corpus/$target"
  cargo fuzz run --sanitizer none "$target" "${folders[@]}" -- \
    -max_total_time="${FUZZ_SECONDS:-30}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
say "Nothing found"
