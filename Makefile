# The most important targets: `make demo` and `make test`. `make help` lists all.
SHELL := /bin/bash
.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: help deps demo up down build test unit fuzz rules dashboards schema e2e check race lint vet fmt fmt-diff golden docs bench bench-peers bench-stores bench-sessions trial-promtool3 trial-healthy trial-servers trial-soak trial-cost trial-overhead trial-chains trial-causes trial-inflight trial-lastwords trial-incidents trial-leaks trial-leakviews trial-young trial-stacks trial-mutants clean

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH    ?= $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
VPKG      := github.com/prometheus/common/version
LDFLAGS   := -s -w -X $(VPKG).Version=$(VERSION) -X $(VPKG).Revision=$(REVISION) -X $(VPKG).Branch=$(BRANCH)
LINT      := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
FUZZTIME  ?= 15000x

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

deps: ## install what is missing (Debian, as root), or list it
	@bash e2e/lib/deps.sh

demo: deps build ## a shop app with injected faults that are healed: database, Redis, exporter, Prometheus, Alertmanager, load; DEMO_SECONDS=60 ends it after a minute
	@cd e2e && go build -o ../build/demo ./cmd/demo
	@build/demo -exporter build/resp-exporter -shop e2e/shop

up: ## docker-compose.yml: the shop, MySQL, Redis, the exporter, Prometheus, Alertmanager, Grafana; needs a container engine
	@bash deploy/compose/up.sh up

down: ## stop what `make up` started; the data stays in volumes
	@bash deploy/compose/up.sh down

build: ## build/resp-exporter
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o build/resp-exporter ./cmd/resp-exporter

test: deps vet unit fuzz rules e2e ## all tests: unit, golden, race, fuzz, real servers, a real browser

vet:
	go vet ./...
	cd e2e && go vet ./...

unit race: ## unit and golden tests with the race detector
	go test -race ./...

fuzz: ## run each fuzz target for FUZZTIME: 15,000 inputs, or a duration such as 1m
	@bash tools/fuzz/run.sh $(FUZZTIME)

rules: deps ## check the alert rules and run their tests
	promtool check rules --lint=all --lint-fatal rules/*.rules.yml
	amtool check-config rules/alertmanager.example.yml
	promtool test rules rules/*.rules_test.yml

trial-promtool3: ## the same with promtool 3, pinned in tools/promtool (the first run builds it: about 7 minutes), and with native histograms
	go build -C tools/promtool -tags remove_all_sd -o ../../build/promtool3 github.com/prometheus/prometheus/cmd/promtool
	build/promtool3 check rules --lint=all --lint-fatal rules/*.rules.yml
	build/promtool3 test rules rules/*.rules_test.yml rules/prometheus3/*.rules_test.yml

dashboards: deps schema ## lint the dashboards and check them against Grafana's own types
	go test -count=1 ./grafana/...
	cd e2e && go test -count=1 ./internal/dashboards && go test -count=1 -run '^(TestDashboards|TestDashboardSchema)$$' .

schema:
	cd e2e/schema && npm ci --ignore-scripts --no-audit --no-fund

e2e: deps schema ## real servers, real Prometheus, real browser
	cd e2e/browser && npm ci --ignore-scripts --no-audit --no-fund
	cd e2e && go test -count=1 -parallel 3 -timeout 45m ./...

trial-healthy: deps build ## 200 samples of each of 22 healthy apps, as root: no warning, no critical, no stuck worker; EXPORTER= another build, HEALTHY= flags; about 10 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/healthy
	@bash e2e/trials/apart.sh build/healthy -exporter $(or $(EXPORTER),build/resp-exporter) $(HEALTHY)

trial-servers: deps build ## compare what is reported under each server with the facts, Debian's servers and those of SERVERS=directory (docs/servers.md), as root; COMPARE= flags; about 10 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/servers
	@bash e2e/trials/apart.sh build/servers -exporter $(or $(EXPORTER),build/resp-exporter) $(if $(SERVERS),-servers $(SERVERS)) $(COMPARE)

check: fmt-diff lint vet race ## format, lint, vet and race tests: run it before a commit

lint: ## golangci-lint, pinned in tools/golangci-lint (the first run builds it)
	$(LINT) run ./...
	cd e2e && go tool -modfile=../tools/golangci-lint/go.mod golangci-lint run ./...

fmt: ## format all
	$(LINT) fmt ./...

fmt-diff:
	@out="$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go'))"; \
	if [ -n "$$out" ]; then echo "not gofmt'ed:"; echo "$$out"; exit 1; fi

golden: ## rewrite the golden files, the tables of docs/metrics.md and the dashboards; read the difference before you commit
	go test ./collectors/ -skip Docs -update
	go run ./grafana/generate
	go test ./collectors/ ./internal/web/ ./internal/webhook/ ./internal/heal/ ./internal/health/ ./internal/mysql/ ./internal/redis/ ./internal/doctor/ ./cmd/resp-exporter/ -update

docs: ## compare docs/ with the code: metrics, keys, variables, flags
	go test ./collectors/ ./internal/config/ ./cmd/resp-exporter/ -run 'Doc' -v

bench: ## benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./...

bench-peers: build ## cost of a scrape and of StatsD compared with other exporters, which must be on the PATH; about 8 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/cost ./bench/cmd/flood
	@build/cost
	@build/flood

bench-stores: build ## cost of a scrape for MariaDB and Redis compared with other exporters (Debian's, on the PATH); about 7 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/stores
	@build/stores

bench-sessions: build ## cost of counting a million sessions for Redis; about 20 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/sessions
	@build/sessions -rounds 9

trial-soak: build ## 10,000 scrapes under recycled workers, slow readers and a hostile StatsD sender, as root; EXPORTER= another build, SOAK= flags; about 10 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/soak
	@bash e2e/trials/apart.sh build/soak -exporter $(or $(EXPORTER),build/resp-exporter) $(SOAK)

trial-cost: build ## OLD=path: CPU and memory of a scrape, old and new build in alternating rounds, as root; COST= flags; about 10 minutes
	@test -x "$(OLD)" || { echo "trial-cost: OLD= names the program to compare with" >&2; exit 2; }
	cd e2e && go build -o ../build/ ./bench/cmd/cost
	@bash e2e/trials/apart.sh build/cost -old $(OLD) -rounds 9 -scenarios idle,many -csv build/trials/cost.csv $(COST)

trial-overhead: build ## CPU of a worker per request while the exporter samples and while it is stopped, 24 alternating pairs, as root; OVERHEAD= flags; about 5 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/overhead
	@bash e2e/trials/apart.sh build/overhead $(OVERHEAD)

trial-chains: deps build ## 28 chains of waits on real MariaDB, Redis and apps, and 200 looks at healthy busy apps, as root; CHAINS= flags; about 12 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/chains
	@bash e2e/trials/apart.sh build/chains $(CHAINS)

trial-causes: SEED ?= 1
trial-causes: deps build ## 42 faults and 10 healthy apps on real servers, four side by side, drawn by SEED, as root: the cause at each look; CAUSES= flags; about 40 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/causes
	@bash e2e/trials/apart.sh build/causes -seed $(SEED) $(CAUSES)

trial-inflight: deps build ## requests in flight as the exporter sees them against nginx's access log (apt-get install nginx-light), as root; INFLIGHT= flags; about 3 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/inflight
	@bash e2e/trials/apart.sh build/inflight -csv build/trials/inflight-sync.csv $(INFLIGHT)
	@bash e2e/trials/apart.sh build/inflight -class gthread -csv build/trials/inflight-gthread.csv $(INFLIGHT)

trial-lastwords: deps build ## 100 workers killed in mid-request, 100 recycled: last words of the first only, as root; LASTWORDS= flags; about 15 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/lastwords
	@bash e2e/trials/apart.sh build/lastwords $(LASTWORDS)

trial-incidents: deps build ## ten faults of one app one after another, SIGKILL of the exporter in one, as root: ten records with their cause and times; INCIDENTS= flags; about 15 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/incidents
	@bash e2e/trials/apart.sh build/incidents $(INCIDENTS)

trial-leaks: ## the detector of memory leaks and the rules of others on generated traces; LEAKS='-seed 7 -n 50 -kinds'; a minute
	cd e2e && go build -o ../build/ ./trials/cmd/leaks
	@build/leaks $(LEAKS)

trial-leakviews: deps build ## 20 apps of which one view leaks 50 kB a request, and 20 without a leak, four side by side, as root: the view that is named; LEAKVIEWS= flags; about an hour
	cd e2e && go build -o ../build/ ./trials/cmd/leakviews
	@bash e2e/trials/apart.sh build/leakviews $(LEAKVIEWS)

trial-young: ## unit tests as on a machine that booted a minute ago, as root; YOUNG='-busy 10' adds load
	@bash e2e/trials/young.sh $(YOUNG)

trial-stacks: ## 20,000 looks at threads of each Python of the machine that say themselves where they are, as root: none believed is wrong; STACKS= flags; about 30 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/stacks
	@bash e2e/trials/apart.sh build/stacks $(STACKS)

trial-mutants: SEED ?= 1
trial-mutants: N ?= 40
trial-mutants: ## plant N faults, one a function, drawn by SEED, in discovery, heal and health, as root: 9 of 10 must fail a test; MUTANTS='-again' tries again what was missed; about 30 minutes
	go build -o build/ ./tools/mutate
	@bash e2e/trials/apart.sh build/mutate -seed $(SEED) -n $(N) -out build/trials/mutants-$(SEED).tsv $(MUTANTS) ./internal/discovery/... ./internal/heal/... ./internal/health

clean:
	rm -rf build
