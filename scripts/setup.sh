#!/usr/bin/env bash
# Installs what is missing, and nothing that is there: setup.sh [build] [pages] [browsers] [deny] [fuzz] [postgres] [acme] [turn] [network] [kafka]
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

readonly node_wanted=20.19
readonly deny_version=0.20.2
readonly fuzz_version=0.13.2

main() {
  local part
  for part in "$@"; do
    case $part in
      build) setup_build ;;
      pages) setup_pages ;;
      browsers) setup_browsers ;;
      deny) setup_deny ;;
      fuzz) setup_fuzz ;;
      postgres) setup_postgres ;;
      acme) setup_acme ;;
      turn) setup_turn ;;
      network) setup_network ;;
      kafka) setup_kafka ;;
      *) die "setup.sh: unknown part '$part'" ;;
    esac
  done
}

# The C and C++ compilers and CMake build AWS-LC and SQLite; Python and curl compare the server with its contract.
setup_build() {
  local missing=()
  { have cc && have c++; } || missing+=(build-essential)
  have cmake || missing+=(cmake)
  have curl || missing+=(curl)
  python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
  apt_install "${missing[@]}"

  have cargo || install_rust
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  found=$(rustc --version | cut -d ' ' -f 2)
  at_least "$wanted" "$found" || die "Rust $found is too old: $wanted or later is needed (rustup update stable)"
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    have rustup || die "rustfmt and clippy of Rust $found are missing"
    rustup component add rustfmt clippy
  fi
}

install_rust() {
  apt_has rustup || die "Rust is missing, and this system has no package for it: install it from rust-lang.org/tools/install"
  apt_install rustup
  rustup default stable
}

setup_pages() {
  if ! have node && apt_has nodejs "$node_wanted"; then
    apt_install nodejs
  fi
  have node || die "Node.js $node_wanted or later is missing, and this system's package is older: install it from nodejs.org"
  local found
  found=$(node -p process.versions.node)
  at_least "$node_wanted" "$found" || die "Node.js $found is too old: $node_wanted or later is needed"
  have npm || apt_install npm
}

setup_browsers() {
  local missing=()
  have chromium || missing+=(chromium)
  have firefox-esr || missing+=(firefox-esr)
  have openssl || missing+=(openssl)
  # Reactions are emoji; without a font for them the pictures of the pages show boxes.
  dpkg -s fonts-noto-color-emoji >/dev/null 2>&1 || missing+=(fonts-noto-color-emoji)
  apt_install "${missing[@]}"
}

setup_deny() {
  cargo deny --version >/dev/null 2>&1 && return
  say "Building cargo-deny (about two minutes on two cores)"
  env -u CARGO_TARGET_DIR cargo install --locked --quiet "cargo-deny@$deny_version"
}

setup_fuzz() {
  cargo fuzz --version >/dev/null 2>&1 && return
  say "Building cargo-fuzz"
  env -u CARGO_TARGET_DIR cargo install --locked --quiet "cargo-fuzz@$fuzz_version"
}

# The tests start servers of their own: none that the package would start is wanted.
setup_postgres() {
  { have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; } && return
  apt_install postgresql-common
  as_root mkdir -p /etc/postgresql-common/createcluster.d
  as_root sh -c "echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/klieg.conf"
  apt_install postgresql
}

# An authority that gives certificates, for tests.
setup_acme() {
  { have pebble && have pebble-challtestsrv; } || apt_install pebble
}

# A client of TURN relays, for tests; the relay that comes with it is not to run.
setup_turn() {
  have turnutils_uclient && return
  ! have systemctl || as_root systemctl mask --quiet coturn.service
  apt_install coturn
}

# Namespaces, and what plays a router between them.
setup_network() {
  local missing=()
  have ip || missing+=(iproute2)
  have nft || missing+=(nftables)
  have conntrack || missing+=(conntrack)
  apt_install "${missing[@]}"
}

# A broker runs on Java 17 or later, and Maven fetches it.
setup_kafka() {
  local missing=()
  have java || missing+=(default-jre-headless)
  have mvn || missing+=(maven)
  apt_install "${missing[@]}"
  local found
  # Java says first what it took from JAVA_TOOL_OPTIONS and the like, where there is any.
  found=$(java -version 2>&1 | sed -n 's/^[a-z]* version "\([0-9.]*\).*/\1/p')
  at_least 17 "$found" || die "Java $found is too old: 17 or later is needed"
}

# apt_has PACKAGE [VERSION]: whether the package can be had, at least as new as VERSION.
apt_has() {
  have apt-get || return 1
  apt_update
  local candidate
  candidate=$(apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9][^-+~]*\).*/\1/p')
  [ -n "$candidate" ] && at_least "${2:-0}" "$candidate"
}

apt_install() {
  [ $# -gt 0 ] || return 0
  have apt-get || die "please install first: $*"
  say "Installing $*"
  apt_update
  as_root apt-get install -y --no-install-recommends "${apt_options[@]}" "$@"
}

# Once a run is enough, and none when nothing is missing.
apt_update() {
  [ -z "${apt_updated:-}" ] || return 0
  as_root apt-get update -q "${apt_options[@]}"
  apt_updated=yes
}

readonly apt_options=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  elif have sudo; then
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  else
    die "needs root or sudo: $*"
  fi
}

main "$@"
