#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (30): fuzz.sh [TARGET…]
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
