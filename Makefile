# The most important targets: `make demo` and `make test`. `make help` lists all.
SHELL := /bin/bash
.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: help deps demo up down build packages release trial-release test unit fuzz rules dashboards dashboards-pictures e2e check race lint vet fmt fmt-diff golden docs peers bench bench-go bench-peers bench-stores bench-sessions bench-memory bench-flask trial-promtool3 trial-healthy trial-servers trial-soak trial-cost trial-overhead trial-chains trial-causes trial-inflight trial-lastwords trial-incidents trial-leaks trial-leakviews trial-census trial-young trial-fleet trial-stacks trial-mutants trial-blind trial-relay trial-overload clean

VERSION   ?= $(shell tools/release/version.sh)
REVISION  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH    ?= $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
BUILD_USER ?= $(shell id -un)@$(shell hostname)
BUILD_DATE ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d-%H:%M:%S 2>/dev/null || date -u +%Y%m%d-%H:%M:%S)
VPKG      := github.com/prometheus/common/version
LDFLAGS   := -s -w -X $(VPKG).Version=$(VERSION) -X $(VPKG).Revision=$(REVISION) -X $(VPKG).Branch=$(BRANCH) -X $(VPKG).BuildUser=$(BUILD_USER) -X $(VPKG).BuildDate=$(BUILD_DATE)
LINT      := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
FUZZTIME  ?= 15000x
NODE_MODULES := $(foreach d,schema browser render,e2e/$d/node_modules/.package-lock.json)

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

packages: build ## deb and rpm for this machine's architecture, in build/packages; older ones there are removed
	rm -f build/packages/resp-exporter[-_]*.deb build/packages/resp-exporter[-_]*.rpm
	tools/release/packages.sh "$(CURDIR)/build/resp-exporter" $$(go env GOARCH) $(VERSION) build/packages

release: ## tarballs, deb, rpm and SBOM for amd64 and arm64, with checksums, in build/release
	BUILD_USER=$(BUILD_USER) tools/release/release.sh $(VERSION) build/release

trial-release: ## the release of the last commit is built here and from another checkout, and must be equal byte by byte; about 5 minutes
	tools/release/release.sh $(VERSION) build/trials/release-1
	tree=$$(mktemp -d) && trap 'git worktree remove --force "$$tree"' EXIT && git worktree add --quiet --detach "$$tree" HEAD && \
		"$$tree/tools/release/release.sh" $(VERSION) "$(CURDIR)/build/trials/release-2"
	diff -r build/trials/release-1 build/trials/release-2

# The end-to-end tests also run what the target rules does.
test: deps vet unit fuzz e2e ## all tests: unit, golden, race, fuzz, real servers, a real browser

vet:
	go vet ./...
	GOARCH=arm64 go vet ./cmd/resp-exporter
	cd e2e && go vet ./...

unit race: ## unit and golden tests with the race detector; vet is a target of its own
	go test -race -vet=off ./...

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

dashboards: deps e2e/schema/node_modules/.package-lock.json ## lint the dashboards and check them against Grafana's own types
	go test -count=1 ./grafana/...
	cd e2e && go test -count=1 ./internal/dashboards && go test -count=1 -run '^(TestDashboards|TestDashboardSchema)$$' .

dashboards-pictures: deps build $(NODE_MODULES) ## renew the pictures of the dashboards in docs/pictures, drawn with Grafana's own panels on the demo; about 12 minutes
	cd e2e && go build -o ../build/demo ./cmd/demo
	@DEMO_FAULTS=connections,memory,query,sessions,lock build/demo -exporter build/resp-exporter -shop e2e/shop -pictures docs/pictures

trial-blind: SEED ?= 1
trial-blind: deps build $(NODE_MODULES) ## five faults drawn by SEED, and pictures of the overview during each, without their names, in docs/pictures/blind, as root; key.txt has the answers; about 11 minutes
	cd e2e && go build -o ../build/demo ./cmd/demo
	@bash e2e/trials/apart.sh build/demo -exporter build/resp-exporter -shop e2e/shop -blind docs/pictures/blind -seed $(SEED)

# npm writes this file at the end of an installation.
$(NODE_MODULES): e2e/%/node_modules/.package-lock.json: e2e/%/package-lock.json
	cd e2e/$* && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Most tests wait for most of their time.
e2e: deps $(NODE_MODULES) ## real servers, real Prometheus, real browser
	cd e2e && go test -vet=off -count=1 -parallel 5 -timeout 35m ./...

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
	go run ./tools/prometheusrule
	go test ./collectors/ ./internal/web/ ./internal/webhook/ ./internal/heal/ ./internal/health/ ./internal/health/words/ ./internal/mysql/ ./internal/redis/ ./internal/doctor/ ./cmd/resp-exporter/ -update

docs: ## compare docs/ with the code: metrics, keys, variables, flags
	go test ./collectors/ ./internal/config/ ./cmd/resp-exporter/ -run 'Doc' -v

peers: ## build/peers: the five exporters that resp-exporter is measured beside, pinned in e2e/bench/peers.txt
	@bash e2e/bench/peers.sh build/peers

bench: deps build peers ## resp-exporter beside the five exporters that it replaces: one table of ratios (docs/performance.md), as root; BENCH= flags, -quick for a look; about 11 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/beside
	@bash e2e/trials/apart.sh build/beside $(BENCH)

bench-go: ## benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./...

bench-peers: build peers ## cost of a scrape and of StatsD compared with node_exporter, process-exporter and statsd_exporter; about 8 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/cost ./bench/cmd/flood
	@PATH="$(CURDIR)/build/peers:$$PATH" build/cost
	@PATH="$(CURDIR)/build/peers:$$PATH" build/flood

bench-stores: build peers ## cost of a scrape for MariaDB and Redis compared with mysqld_exporter and redis_exporter, and with both servers stopped; about 7 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/stores
	@PATH="$(CURDIR)/build/peers:$$PATH" build/stores

bench-sessions: build ## cost of counting a million sessions for Redis; about 20 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/sessions
	@build/sessions -rounds 9

bench-memory: deps build ## RSS after 1,000 scrapes with everything on: an app that reports itself, a pool, MariaDB, Redis, healing, and a history of an hour, usual and full, as root; MEMORY= flags; about 3 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/memory
	@bash e2e/trials/apart.sh build/memory $(MEMORY)

bench-flask: build ## CPU of a worker per request with resp_flask.py, beside none and its peers (wrk on the PATH; python3-prometheus-client if installed); FLASK= flags; about 4 minutes
	cd e2e && go build -o ../build/ ./bench/cmd/flask
	@build/flask $(FLASK)

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

trial-census: deps build ## 12 apps that lose memory in different ways, drawn by a seed, three side by side, as root: what keeps it, by censuses of the heap; CENSUS= flags; about 15 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/census
	@bash e2e/trials/apart.sh build/census $(CENSUS)

trial-fleet: deps ## what Prometheus costs with the rules for 100 simulated hosts, as root; FLEET='-n 1000 -none -old DIRECTORY -dashboards grafana/dashboards'; 4 minutes a Prometheus
	cd e2e && go build -o ../build/ ./trials/cmd/fleet
	@bash e2e/trials/apart.sh build/fleet $(FLEET)

trial-relay: SEED ?= 1
trial-relay: deps build ## 10,000 alerts about 1,000 exporters through a pair of Alertmanagers, two receivers and a Redis that is killed, as root: none lost, none run twice; RELAY='-no-aof -csv FILE'; about 11 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/relay
	@bash e2e/trials/apart.sh build/relay -seed $(SEED) $(RELAY)

trial-young: ## unit tests as on a machine that booted a minute ago, as root; YOUNG='-busy 10' adds load
	@bash e2e/trials/young.sh $(YOUNG)

trial-stacks: ## 20,000 looks at threads of each Python of the machine that say themselves where they are, as root: none believed is wrong; STACKS= flags; about 30 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/stacks
	@bash e2e/trials/apart.sh build/stacks $(STACKS)

trial-overload: SEED ?= 1
trial-overload: deps build ## an app gets 1.2 to 5 times the requests that it can serve, in bursts, and with a slow route, with and without a throttle with a target of 1 s, as root; OVERLOAD= flags; about 25 minutes
	cd e2e && go build -o ../build/ ./trials/cmd/overload
	@bash e2e/trials/apart.sh build/overload -seed $(SEED) $(OVERLOAD)

trial-mutants: SEED ?= 1
trial-mutants: N ?= 40
trial-mutants: ## plant N faults, one a function, drawn by SEED, in discovery, heal and health, as root: 9 of 10 must fail a test; MUTANTS='-again' tries again what was missed; about 30 minutes
	go build -o build/ ./tools/mutate
	@bash e2e/trials/apart.sh build/mutate -seed $(SEED) -n $(N) -out build/trials/mutants-$(SEED).tsv $(MUTANTS) ./internal/discovery/... ./internal/heal/... ./internal/health

clean:
	rm -rf build
