#!/usr/bin/env bash
# Builds the pages into web-demo/dist when they or their packages changed: pages.sh [packages]
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly packages_stamp=web-demo/node_modules/.klieg-packages
readonly pages_stamp=web-demo/node_modules/.klieg-pages

packages=$(cat web-demo/package-lock.json <(node --version) | sha256sum)
if [ "$packages" != "$(cat "$packages_stamp" 2>/dev/null)" ]; then
  say "Installing the pages' packages"
  npm ci --prefix web-demo --no-audit --no-fund
  printf '%s\n' "$packages" >"$packages_stamp"
fi
[ "${1:-}" != packages ] || exit 0

sources="$packages $(hash_of web-demo)"
if [ "$sources" != "$(cat "$pages_stamp" 2>/dev/null)" ] || [ ! -f web-demo/dist/index.html ]; then
  say "Building the pages"
  npm run --prefix web-demo build
  printf '%s\n' "$sources" >"$pages_stamp"
fi
