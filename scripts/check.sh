#!/usr/bin/env bash
# Runs the checks named, in order: check.sh fmt lint unit contract core deny pages browsers interop networks netlab
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

main() {
  local check began
  for check in "$@"; do
    began=$SECONDS
    say "$check"
    # Not behind `if` or `||`: there, bash would go on after a failed command within.
    failing=$check
    "check_$check"
    failing=
    times+=("$(printf '%-10s %4d s' "$check" $((SECONDS - began)))")
  done
  say "All passed"
  printf '%s\n' "${times[@]}"
}

times=()
failing=
trap '[ -z "$failing" ] || printf "\nFAILED: %s\n" "$failing" >&2' EXIT

check_fmt() { cargo fmt --all --check; }

check_lint() { cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings; }

check_unit() { cargo test --locked --workspace; }

# Every operation as described, with few examples; scripts/contract.sh takes more.
check_contract() { scripts/contract.sh 20; }

# The forwarding unit's core owns no runtime, socket, server or database.
check_core() {
  local tree
  tree=$(cargo tree --locked --package klieg-sfu-core --edges normal,build --prefix none --format '{p}')
  if grep -E '^(tokio|mio|async-std|smol|axum|hyper|sqlx|prometheus|socket2|quinn-udp)( |-)' <<<"$tree"; then
    die "klieg-sfu-core must not depend on the above"
  fi
  echo "klieg-sfu-core: $(sort -u <<<"$tree" | wc -l) packages, none of them a runtime, a socket or a server"
}

# Advisories need a database from the network: `make audit`.
check_deny() { cargo deny --log-level error check --allow duplicate bans licenses sources; }

check_pages() {
  npm run --prefix web-demo check
  npm test --prefix web-demo
}

check_browsers() {
  KLIEG_BIN="$target_dir/debug/klieg" LOADTEST_BIN="$target_dir/debug/klieg-loadtest" npm run --prefix web-demo e2e
}

# Network namespaces are root's.
check_netlab() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo --preserve-env=PATH)
  "${as_root[@]}" env KLIEG_BIN="$target_dir/debug/klieg" NETLAB_SECONDS="${NETLAB_SECONDS:-10}" npm run --prefix web-demo netlab
}

# A minute of it wherever it can be had, which is said: `make netlab` is the whole.
check_networks() {
  local missing
  missing=$(missing_for_netlab)
  if [ -n "$missing" ]; then
    printf 'NOT RUN: bad networks in network namespaces, for this machine has no %s\n' "$missing"
    return
  fi
  KLIEG_BIN="$target_dir/debug/klieg" npm run --prefix web-demo netlab -- core.netlab
}

# Prints what is missing for network namespaces with a link between them, if anything is.
missing_for_netlab() {
  # Names of devices have 15 characters at most.
  local command try=try-$$
  [ "$(id -u)" = 0 ] || { echo 'root for the tests'; return; }
  for command in ip nft conntrack; do
    have "$command" || { echo "$command"; return; }
  done
  ip netns add "$try" 2>/dev/null || { echo 'network namespaces'; return; }
  ip netns exec "$try" nft add table ip "$try" 2>/dev/null || echo 'nftables in network namespaces'
  ip netns del "$try"
  python3 loadtest/netlab/link.py "$try-a" "$try-b" </dev/null >/dev/null 2>&1 || echo 'TUN devices'
}

check_interop() { KLIEG_BIN="$target_dir/debug/klieg" scripts/interop.sh core; }

main "$@"
