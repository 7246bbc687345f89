#!/usr/bin/env bash
# Prints how long lists of rooms take on each database, and by which plan: store-bench.sh [ROOMS]
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

KLIEG_BENCH_ROOMS=${1:-100000} cargo test --locked --package klieg-signaling --lib store::tests::lists::every_kind_of_list_answers_and_says_how_long_it_took \
  -- --nocapture --exact
