#!/usr/bin/env bash
# Measures a server of its own under the load test, both on this machine, in release profile:
#   load.sh audience [VIEWERS…]      1000 viewers, then 2000, or as many as named
#   load.sh joins [OPTION…]          4000 viewers that come as fast as they can: one core for the server, one for the load test
#   load.sh chat [OPTION…]           5000 sockets that hear 60 messages a second, 20 of 500 that do not read, 1000 that send 5 reactions a second each
#   load.sh saturation [OPTION…]     1400 viewers, and a control group that gives the server three tenths of a core (LOAD_CORES=0.3)
# Options go to klieg-loadtest, in the place of those named here. LOAD_OUT=FOLDER keeps its JSON and the server's metrics.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

klieg=${KLIEG_BIN:-$target_dir/release/klieg}
loadtest=${LOADTEST_BIN:-$target_dir/release/klieg-loadtest}
server='' group=''
# What the server and the load test are started by, and what else the server is told.
server_by=() loadtest_by=() told=()

main() {
  local what=${1:-}
  shift || true
  work=$(mktemp -d)
  trap stop EXIT
  out=${LOAD_OUT:-$work}
  mkdir -p "$out"
  case $what in
    audience) audience "$@" ;;
    joins) joins "$@" ;;
    chat) chat "$@" ;;
    saturation) saturation "$@" ;;
    *) die "load.sh: audience, joins, chat or saturation?" ;;
  esac
}

audience() {
  build
  local viewers
  [ $# -gt 0 ] || set -- 1000 2000
  for viewers in "$@"; do
    measure "$viewers" --publishers 1 --viewers "$viewers" --ramp 200/s --duration 25s --bitrate 1.4M --fps 30 --audio
  done
}

joins() {
  local cores
  have taskset || die "taskset is missing (package util-linux)"
  read -ra cores <<<"$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')"
  [ ${#cores[@]} -ge 2 ] || die "one core for the server and one for the load test: this process may use one alone"
  build
  server_by=(taskset -c "${cores[0]}") loadtest_by=(taskset -c "${cores[1]}") told=(--set media_shards=1)
  options "$@" -- --scenario join-storm --publishers 1 --viewers 4000 --ramp 2000/s --duration 8s --bitrate 100k --fps 5
  measure joins "${chosen[@]}"
}

# A little media beside it shows that it loses nothing.
chat() {
  build
  local -a room=(--publishers 1 --viewers 20 --bitrate 100k --fps 5 --ramp 1000/s)
  options "$@" -- "${room[@]}" --chatters 5000 --chat 60/s --duration 8s
  measure chat "${chosen[@]}"
  options "$@" -- "${room[@]}" --chatters 500 --stalled-chatters 20 --chat 200/s --duration 45s
  measure slow-readers "${chosen[@]}"
  options "$@" -- "${room[@]}" --chatters 1000 --reactions 5000/s --duration 15s
  measure reactions "${chosen[@]}"
  # They leave four times a second, however many there are.
  python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["chatters"]["bytesPerSecond"]["most"] > 4096)' "$out/reactions.json" \
    || die "reactions: more than 4 KiB a second came to somebody"
}

saturation() {
  limit "${LOAD_CORES:-0.3}"
  build
  # shellcheck disable=SC2016  # for that shell to expand
  server_by=(bash -c 'echo $$ >"$0" && exec "$@"' "$group/cgroup.procs")
  options "$@" -- --publishers 1 --viewers 1400 --ramp 100/s --duration 20s --bitrate 1.4M --fps 30 --audio
  measure saturation "${chosen[@]}"
}

build() {
  if [ -z "${KLIEG_BIN:-}" ] || [ -z "${LOADTEST_BIN:-}" ]; then
    cargo build --locked --release --package klieg-signaling --package klieg-loadtest --bin klieg --bin klieg-loadtest
  fi
}

# options GIVEN… -- DEFAULT…: sets `chosen` to what is given and the defaults of which it says nothing.
options() {
  local given=()
  while [ "$1" != -- ]; do
    given+=("$1")
    shift
  done
  shift
  chosen=("${given[@]}")
  while [ $# -gt 0 ]; do
    local option=("$1")
    shift
    while [ $# -gt 0 ] && [[ $1 != --* ]]; do
      option+=("$1")
      shift
    done
    [[ " ${given[*]} " == *" ${option[0]}"[\ =]* ]] || chosen+=("${option[@]}")
  done
}

# limit CORES: makes a control group, of version 2 or 1, whose processes get no more of the processors than that.
limit() {
  local quota mount
  quota=$(python3 -c 'import sys; print(int(float(sys.argv[1]) * 100000))' "$1" 2>/dev/null) || die "LOAD_CORES=$1 is no number"
  [ "$quota" -ge 1000 ] || die "LOAD_CORES=$1: a hundredth of a core is the least"
  mount=$(mounted cgroup2)
  if [ -n "$mount" ] && grep -qw cpu "$mount/cgroup.controllers" 2>/dev/null; then
    # Where nobody has asked for it yet, groups have no limit of their own.
    grep -qw cpu "$mount/cgroup.subtree_control" || echo +cpu 2>/dev/null >"$mount/cgroup.subtree_control" || no_groups "$mount"
    group=$(mktemp -d "$mount/klieg-XXXXXX" 2>/dev/null) || no_groups "$mount"
    echo "$quota 100000" 2>/dev/null >"$group/cpu.max" || no_groups "$group"
    return
  fi
  mount=$(mounted cgroup cpu)
  [ -n "$mount" ] || die "no control groups for processors (cpu) are mounted here"
  group=$(mktemp -d "$mount/klieg-XXXXXX" 2>/dev/null) || no_groups "$mount"
  { echo 100000 >"$group/cpu.cfs_period_us" && echo "$quota" >"$group/cpu.cfs_quota_us"; } 2>/dev/null || no_groups "$group"
}

no_groups() {
  die "control groups cannot be written here ($1): it takes root, and in a container one that may write its groups"
}

# mounted TYPE [OPTION]: where the first file system of a type is, among whose options that one is.
mounted() {
  awk -v type="$1" -v option="${2:-}" \
    '$3 == type && (option == "" || ("," $4 ",") ~ ("," option ",")) { print $2; exit }' /proc/mounts
}

# measure NAME OPTION…: starts a server, runs the load test, and says what the server counted meanwhile.
measure() {
  local name=$1 status=0
  shift
  say "$name: klieg-loadtest $*"
  # Each viewer is an open file at both ends.
  ulimit -n "$(ulimit -Hn)"
  start
  "${loadtest_by[@]}" "$loadtest" --http "$url" --server-pid "$server" --json "$out/$name.json" "$@" || status=$?
  kill -0 "$server" 2>/dev/null || die "the server is gone: $(tail -n 5 "$work/log")"
  # It writes them down twice a second.
  sleep 1
  curl --silent --fail --max-time 60 "$url/metrics" >"$out/$name.metrics" || die "the server does not tell its metrics"
  end
  [ -s "$out/$name.json" ] || die "no report: the load test ended with status $status"
  python3 scripts/load_summary.py "$out/$name.json" "$out/$name.metrics"
  # Above saturation it is lost, and the question is how; elsewhere nothing may be.
  [ "$status" = 0 ] || [ "$name" = saturation ] || die "$name: the load test says what is wrong, after FAILED"
}

start() {
  rm -rf "$work/data"
  "${server_by[@]}" "$klieg" --dev --data "$work/data" --http 127.0.0.1:0 --media 127.0.0.1:0 "${told[@]}" >"$work/told" 2>"$work/log" &
  server=$!
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    url=$(sed -n 's/^klieg listening http=\([^ ]*\).*/\1/p' "$work/told")
    [ -z "$url" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  die "the server did not start: $(tail -n 5 "$work/log")"
}

end() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=''
}

stop() {
  [ -z "$server" ] || end
  [ -z "$group" ] || rmdir "$group" || true
  rm -rf "$work"
}

main "$@"
