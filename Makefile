# Portico. `make help` lists the targets.

GO ?= go

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## the whole product on this machine: provider, two portals, a mailbox
	$(GO) run ./cmd/demo

.PHONY: build
build: ## bin/idp and bin/demo
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/idp ./cmd/demo

.PHONY: test
test: deps ## install what the tests need, then run every test
	$(GO) vet ./...
	CI=$${CI:-true} $(GO) test -count=1 ./...
	cd uitest && CI=$${CI:-true} $(GO) test -count=1 -timeout 20m ./...

.PHONY: uitest-full
uitest-full: deps ## the browser tests with every page on four screens, walked by keyboard (nightly)
	cd uitest && CI=$${CI:-true} UITEST_MATRIX=full $(GO) test -count=1 -timeout 60m ./...

.PHONY: interop
interop: ## sign in with clients that others wrote (needs Chromium, node, npm, apache2 with mod_auth_openidc, Java, Maven)
	@sh scripts/test-deps.sh
	@sh scripts/interop-deps.sh
	cd interop/node && npm ci --silent
	cd interop && $(GO) vet ./... && CI=$${CI:-true} $(GO) test -count=1 -timeout 20m ./...

FUZZTIME ?= 5s

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (5s)
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' internal); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do \
			echo "$$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) || exit 1; \
		done; \
	done

.PHONY: deps
deps: ## install PostgreSQL binaries and Chromium where they are missing
	@sh scripts/test-deps.sh

.PHONY: race
race: ## the tests again under the race detector
	$(GO) test -race -count=1 ./...

.PHONY: check
check: ## formatting, vet, static analysis
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd uitest && $(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

.PHONY: bench
bench: ## benchmarks (nothing is asserted)
	$(GO) test -run '^$$' -bench . -skip '$(DOORS)' -benchmem ./...

DOORS = BenchmarkDoorsTellNobodyApart|BenchmarkTokensDuringAFlood

.PHONY: timing
timing: ## does the time of an answer tell who has an account? (about 12 minutes)
	$(GO) test -count=1 -run '^$$' -bench DoorsTellNobodyApart -benchtime 1x -timeout 60m ./internal/server

.PHONY: doors
doors: timing ## timing, and 500 sign-ins at once: memory, 503, and how quick tokens are meanwhile
	$(GO) test -count=1 -v -run 'AFloodOfSignIns' ./internal/server
	$(GO) test -count=1 -run '^$$' -bench TokensDuringAFlood -benchtime 3x ./internal/server
