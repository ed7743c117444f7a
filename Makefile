# Every target says what it does: `make` lists them.
.DEFAULT_GOAL := help
SHELL := bash
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help dev generate verify test race lint vet-sql contract release-schema bench bombs soak

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

dev: ## run everything on this machine, with two demo tenants
	go run ./cmd/commonhold dev

generate: ## make the generated code: sqlc first, then gqlgen
	go tool sqlc generate
	go tool gqlgen generate

verify: generate ## fail if the generated code was not fresh
	@git diff --exit-code -- sqlc graph/generated || { echo 'Generated code is stale: run make generate and commit the result.'; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- sqlc graph/generated)" || { echo 'Generated files are not committed.'; exit 1; }

test: ## run every test; starts the PostgreSQL it needs
	go test ./...

race: ## run the tests of everything that runs goroutines under the race detector
	go test -race ./graph/... ./internal/...

lint: ## go vet and golangci-lint
	go vet ./...
	GOOS=darwin go vet ./internal/embeddedpg
	go run $(GOLANGCI) run

vet-sql: ## prepare every query against a real, migrated database
	go run ./internal/pgtest/vetsql

contract: ## hold the running server to the specifications with their own tools (npm)
	go build -o commonhold ./cmd/commonhold
	cd web/contract && npm ci --no-audit --no-fund --loglevel=error && npm test

release-schema: ## at a release: what later changes of the schema are compared with
	cp schema.graphql web/contract/released/schema.graphql

bench: ## measure ratios against baselines of the same run; writes BENCH.md
	go run ./internal/bench

bombs: ## measure what query bombs cost; writes docs/bombs.md
	go test ./internal/server -run '^$$' -bench '^BenchmarkBombs$$' -benchtime 20x -args -bombs ../../docs/bombs.md

SOAK ?= 1h
REQUESTS ?= 1000000
soak: ## the long run: hammers the handle for an hour, directly and through PgBouncer, then asks a million random requests in two worlds; or make soak SOAK=10m REQUESTS=50000
	COMMONHOLD_SOAK=$(SOAK) go test -v -count=1 -timeout 0 -run '^TestSoak$$' ./internal/postgres
	COMMONHOLD_REQUESTS=$(REQUESTS) go test -v -count=1 -timeout 0 -run '^TestSoak$$' ./internal/isolation/twoworlds
