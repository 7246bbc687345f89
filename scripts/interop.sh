#!/usr/bin/env bash
# Installs foreign WebRTC stacks, and lets them publish to and watch the real server: interop.sh [core] [--only NAME]…
# `core` takes those that need neither a browser nor system packages. The table is in docs/interop.md.
# KLIEG_BIN names a server that is built already; without it one is built.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly interop=$root/loadtest/interop
readonly place=$target_dir/interop

main() {
  local core=
  if [ "${1:-}" = core ]; then
    core=--core
    shift
  fi
  install_python
  install_node "$core"
  [ -n "$core" ] || install_system
  [ -n "${KLIEG_BIN:-}" ] || cargo build --locked --package klieg-signaling --bin klieg
  say "Foreign stacks against the server"
  PYTHONPATH=$interop "$place/venv/bin/python" "$interop/samples.py" "$place/samples"
  KLIEG_BIN=${KLIEG_BIN:-$target_dir/debug/klieg} KLIEG_INTEROP_DIR=$place \
    exec "$place/venv/bin/python" "$interop/run.py" ${core:+"$core"} "$@"
}

# The packages of requirements.txt, by their hashes, in an environment of their own.
install_python() {
  have python3 || apt_get python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || apt_get python3-venv
  is_fresh "$place/venv" "$interop/requirements.txt" && return
  say "Installing the Python stacks"
  rm -rf "$place/venv"
  python3 -m venv "$place/venv"
  "$place/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$interop/requirements.txt"
  mark "$place/venv" "$interop/requirements.txt"
}

# The packages of package-lock.json; the core needs werift alone.
install_node() {
  local omit=()
  is_fresh "$interop/node_modules" "$interop/package-lock.json" && return
  if [ -n "$1" ]; then
    is_fresh "$interop/node_modules" "$interop/package-lock.json" core && return
    omit=(--omit=optional)
  fi
  say "Installing the Node stacks"
  npm ci --prefix "$interop" --no-audit --no-fund "${omit[@]}"
  mark "$interop/node_modules" "$interop/package-lock.json" "${1:+core}"
}

# GStreamer with its elements for WebRTC, and the browsers.
install_system() {
  local missing=() package
  local -r packages=(
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav gstreamer1.0-nice gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 python3-gi openssl
  )
  for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] || apt_get "${missing[@]}"
  scripts/setup.sh browsers
}

apt_get() {
  have apt-get || die "please install first: $*"
  say "Installing $*"
  local -r as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q -o Acquire::Retries=5
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# is_fresh DIRECTORY LOCK [PART]: whether the directory was installed from this lock file.
is_fresh() { [ "$(cat "$1/.installed" 2>/dev/null)" = "$(lock_of "$2")${3:+ $3}" ]; }

mark() { echo "$(lock_of "$2")${3:+ $3}" >"$1/.installed"; }

lock_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

main "$@"
