# The commands of this repository; each installs what it needs and can be run again at any time.

.DEFAULT_GOAL := help
.PHONY: help run test check interop contract test-kafka netlab screens pages bench audience joins chat saturation fuzz audit clean

help: ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 19

run: ## builds what changed and starts the server for development; ARGS="…" goes to it
	@exec scripts/run.sh $(ARGS)

test: ## runs every test: Rust, pages, browsers, a few foreign WebRTC stacks
	@scripts/setup.sh build pages browsers deny postgres acme turn
	@[ "$$(id -u)" != 0 ] || scripts/setup.sh network
	@scripts/pages.sh
	@scripts/check.sh fmt lint unit contract core deny pages browsers interop networks

check: ## runs every test that needs no browser
	@scripts/setup.sh build pages deny postgres acme turn
	@scripts/pages.sh
	@scripts/check.sh fmt lint unit contract core deny pages

interop: ## lets every foreign WebRTC stack publish and watch; ARGS="--only firefox" takes one
	@scripts/setup.sh build pages
	@scripts/pages.sh
	@scripts/interop.sh $(ARGS)

contract: ## compares the server with openapi.json; ARGS="2000" examples of each operation
	@scripts/setup.sh build
	@cargo build --locked --package klieg-signaling --bin klieg
	@scripts/contract.sh $(ARGS)

test-kafka: ## lets a server read a shop's orders from a real broker of Apache Kafka; ARGS="away" runs one test
	@scripts/setup.sh build postgres kafka
	@scripts/kafka.sh $(ARGS)

netlab: ## puts Chromium behind bad networks, as root; NETLAB_SECONDS=60 watches each longer
	@scripts/setup.sh build pages browsers turn network
	@scripts/pages.sh
	@cargo build --locked --package klieg-signaling --bin klieg
	@scripts/check.sh netlab

screens: ## pictures every page, on a phone and a desk, dark and light, into docs/screens
	@scripts/setup.sh build pages browsers
	@scripts/pages.sh
	@cargo build --locked --package klieg-signaling --bin klieg
	@cd web-demo && UPDATE_SCREENSHOTS=1 npm run --silent e2e -- screens

pages: ## builds the web pages into web-demo/dist
	@scripts/setup.sh pages
	@scripts/pages.sh

bench: ## runs the benchmarks (release profile)
	@scripts/setup.sh build
	@scripts/bench.sh

audience: ## 1000 viewers, then 2000, in release profile; ARGS="500" as many; LOAD_OUT=FOLDER keeps the reports
	@scripts/setup.sh build
	@scripts/load.sh audience $(ARGS)

joins: ## 4000 viewers that come at once, one core for the server; ARGS="--viewers 1000" goes to klieg-loadtest
	@scripts/setup.sh build
	@scripts/load.sh joins $(ARGS)

chat: ## 5000 sockets in one room, some that do not read, a flood of reactions; ARGS as for joins
	@scripts/setup.sh build
	@scripts/load.sh chat $(ARGS)

saturation: ## more viewers than LOAD_CORES=0.3 of a core can serve, as root: control groups; ARGS as for joins
	@scripts/setup.sh build
	@scripts/load.sh saturation $(ARGS)

fuzz: ## runs every fuzz target for FUZZ_SECONDS (30)
	@scripts/setup.sh build
	@scripts/fuzz.sh

audit: ## compares dependencies with the RustSec advisories (needs their database from the network)
	@scripts/setup.sh build deny
	@cargo deny check advisories

clean: ## removes everything that was built or installed into this directory
	@rm -rf target fuzz/target fuzz/corpus fuzz/artifacts web-demo/dist web-demo/node_modules loadtest/interop/node_modules
