# Every check is a step of .ci/run, so that this file and CI cannot differ.

SOAKCOUNT ?= 50
SOAKFUZZTIME ?= 5m
BENCHFLAGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: ## everything that CI runs
	bash .ci/run

.PHONY: test
test: ## the tests, as the README runs them
	go test ./...

.PHONY: race
race: ## the tests under the race detector, shuffled, three times
	bash .ci/run race

.PHONY: lint
lint: ## formatting and golangci-lint (built once, kept in the user's cache)
	bash .ci/run fmt lint

.PHONY: cross
cross: ## build and vet for linux, darwin and windows on amd64 and arm64
	bash .ci/run cross

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	bash .ci/run fuzz

.PHONY: bench
bench: ## one table of Tristrand and its peers, with BENCHFLAGS
	cd bench && go run . $(BENCHFLAGS)

.PHONY: cover
cover: ## coverage of all packages by all tests, into coverage.html
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -html=coverage.out -o coverage.html
	go tool cover -func=coverage.out | tail -n 1

.PHONY: soak
soak: ## hours: heavy tests, SOAKCOUNT (50) runs under race, SOAKFUZZTIME (5m) a fuzz target
	TRISTRAND_SOAK=1 RACECOUNT=$(SOAKCOUNT) RACETIMEOUT=6h FUZZTIME=$(SOAKFUZZTIME) bash .ci/run race fuzz

.PHONY: clean
clean: ## what building and testing leave behind
	rm -rf bin dist coverage.out coverage.html
