# make run     builds what is needed and serves config.yaml (ARGS="--set http.listen=:9000")
# make test    installs what the tests need and runs all tests
# Every target builds what it needs, and on Debian installs it, except Go, make and Node.js.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run
.NOTPARALLEL:
.PHONY: run moot guests sdk builtin check-builtin check test race lint fuzz bench soak chaos torture torture_events toolchains redis tools release clean

GUESTS      := $(notdir $(patsubst %/main.go,%,$(wildcard guests/*/main.go)))
GUEST_FILES := $(foreach g,$(GUESTS),guests/$(g)/$(g).wasm)
GUEST_BUILD := GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -ldflags='-s -w'
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s
SOAK        ?= 10m
SDK_NPM     := sdk/assemblyscript sdk/zig
NPM_DIRS    := engine/compat engine/demo/browsertest engine/api/console/browsertest sdk/client $(SDK_NPM)
C_COMPILERS := clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32

run: moot
	exec ./moot serve $(ARGS)

moot:
	go build -o moot .

guests: $(GUEST_FILES)

# A guest is rebuilt when one of its sources or of the SDK's has changed.
SDK_SOURCES := $(wildcard sdk/go/*.go) go.mod
define guest_rule
guests/$(1)/$(1).wasm: $(wildcard guests/$(1)/*.go) $(SDK_SOURCES)
	$(GUEST_BUILD) -o $$@ ./guests/$(1)
endef
$(foreach g,$(GUESTS),$(eval $(call guest_rule,$(g))))

define need_node
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
	echo "this needs Node.js 20.11 or newer, with npm: install it and try again" >&2; exit 1
fi
endef

define npm_install
for dir in $(1); do
	if ! cmp -s $$dir/package-lock.json $$dir/node_modules/.installed; then
		npm ci --prefix $$dir --ignore-scripts --no-audit --no-fund
		cp $$dir/package-lock.json $$dir/node_modules/.installed
	fi
done
endef

# The committed WebAssembly that the program embeds: the runners of scripts and the ready-made rules. Both targets need the
# compilers that .ci/pinned names.
builtin check-builtin: toolchains
	bash .ci/install dpkg-dev
	.ci/builtin $(if $(filter check-builtin,$@),--check)

# The SDKs' modules and guests, in their folders.
SDK_PROJECTS := $(wildcard sdk/*/conformance sdk/*/examples/*)
# Guests in other languages than Go. make run does not need them.
OTHER_GUESTS := $(patsubst %/,%,$(dir $(wildcard $(addprefix guests/*/,Cargo.toml main.c main.cpp main.zig)))) \
	$(patsubst %/assembly/index.ts,%,$(wildcard guests/*/assembly/index.ts))
sdk: moot toolchains
	for project in $(SDK_PROJECTS) $(OTHER_GUESTS); do ./moot module build $$project; done

check: moot
	./moot check

test: race

# Tests that compare latencies; they run alone.
ALONE := host/hosttest/hostile

# Tests that run without the race detector: tests that compile modules of all languages, which start no goroutines of
# their own and take minutes under it, and the test of the memory of a server, which is another process.
PLAIN := moot/sdk$$\|hosttest/density$$

# All tests, under the race detector. The target check first compiles the rules of config.yaml into the user's cache, because that
# takes minutes under the race detector.
race: tools guests check-builtin check
	go test -race -timeout 25m $$(go list ./... | grep -v -e $(ALONE) -e '$(PLAIN)')
	go test -race -timeout 15m ./$(ALONE)
	go test -timeout 15m -run TestSlicesAreShort ./$(ALONE)
	go test ./sdk ./host/hosttest/density
	cd engine/cli/release/deploytest && go test -count=1 ./...

lint:
	unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi
	go vet -tags soak,chaos ./...
	GOOS=darwin go vet ./...
	GOOS=windows go build ./...
	GOOS=windows go vet $$(GOOS=windows go list ./... | grep -vE '/(engine/cli|engine/node|engine/cluster/redis|engine/moderation/redis|host/store/redis)$$') # whose tests send signals to servers
	go run $(STATICCHECK) ./...
	cd engine/cli/release/deploytest && go vet ./... && go run $(STATICCHECK) ./...

# Every fuzz target, each for FUZZTIME.
# go test may report the end of FUZZTIME as a failure without an input: then the target runs once more.
fuzz:
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT
	for package in $$(go list ./...); do
		for target in $$(go test -list '^Fuzz' "$$package" 2>/dev/null | grep '^Fuzz' || true); do
			echo "== $$package $$target"
			run() { go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" 2>&1 | tee "$$log"; }
			run || { grep -q '^ *context deadline exceeded$$' "$$log" && ! grep -q 'Failing input' "$$log" && run; }
		done
	done

# The benchmarks of the sandbox run last, because they print tables.
bench: tools guests
	go test -run '^$$' -bench . -skip '^BenchmarkSandbox' -benchmem $$(go list ./... | grep -v 'hosttest/density$$')
	go test -run '^$$' -bench . -benchtime 1x -timeout 1h ./host/hosttest/density
	go test -run '^$$' -bench . ./host/hosttest/bench
	cd host/hosttest/bench/extism && go test -run '^$$' -bench . .

# Clients connect and disconnect for SOAK, and then 1,000 tenants wake, sleep and are reloaded for SOAK; memory must stay
# constant. SOAKS selects one of the two. The log of the server with
# the tenants is kept below build/_artifacts.
SOAKS ?= ./engine/cli ./host/hosttest/density
soak: guests
	mkdir -p build
	for package in $(SOAKS); do SOAK=$(SOAK) go test -tags soak -count=1 -timeout 0 -artifacts -outputdir build -v -run TestMemoryStaysFlat $$package; done

# Faults of a cluster on Redis that take minutes, in addition to those of make test.
chaos: redis guests
	go test -race -tags chaos -count=1 -timeout 30m ./engine/cluster/redis ./engine/node

# Random faults against nodes under load, for TORTURE. A failed round prints its seed;
# TORTURE_SEED=SEED repeats it.
TORTURE ?= 2m
torture: redis
	TORTURE=$(TORTURE) go test -tags chaos -count=1 -timeout 0 -run '^TestTorture$$' -v ./engine/cluster/redis

# The same for events: every one that was answered is counted at two receivers, one of which fails in every way.
torture_events: redis
	TORTURE=$(TORTURE) go test -tags chaos -count=1 -timeout 0 -run '^TestEventsTorture$$' -v ./engine/node

# The compilers of the SDKs, and the npm packages of the lock files.
toolchains:
	$(need_node)
	bash .ci/install $(C_COMPILERS) wabt cargo libstd-rust-dev-wasm32
	$(call npm_install,$(SDK_NPM))

redis:
	bash .ci/install redis-server redis-sentinel

# What the tests need besides Go and Node.js: a browser, Redis, compilers, npm packages.
tools: toolchains redis
	bash .ci/install chromium curl sqlite3
	$(call npm_install,$(NPM_DIRS))
	npm run --silent --prefix engine/compat client
	npm run --silent --prefix sdk/client build

# The program for every platform, with modules and checksums, in build/release.
# ARGS="-version v1.2.3 -platforms linux/amd64"
release:
	go run ./engine/cli/release $(ARGS)

clean:
	rm -rf sdk/*/target sdk/rust/*/target sdk/rust/examples/*/target guests/*/target
	find sdk -name '*.wasm' -not -path '*/node_modules/*' -delete
	rm -rf moot build sdk/client/dist $(GUEST_FILES) $(addsuffix /*.wasm,$(OTHER_GUESTS)) $(addsuffix /node_modules,$(NPM_DIRS))
