# barista: few verbs. `make demo` and `make test` need Go, git and make only.

GO       ?= go
TOOLS    := $(GO) tool -modfile=.ci/tools.mod
LDFLAGS  := -s -w
FUZZTIME ?= 10s

.PHONY: demo build browser pymodbus mosquitto promtool test check race fuzz bench syncs chaos arm deb deb-docs container sbom reproducible test-vm clean

build: ## the binary, here
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o barista ./cmd/barista

demo: build ## a whole shop in one process, nothing is kept
	./barista demo $(DEMO)

LONG := ./driver/jura ./driver/serial ./fleet/controller ./fleet/queue
test: browser pymodbus mosquitto promtool ## every test; RACE=-race: under the race detector, and what it is too slow for once more without
	$(GO) test $(RACE:%=% -short) -timeout 20m -parallel 4 $$($(GO) list ./... | grep -v '/cmd/barista$$')
	$(if $(RACE),$(GO) test -timeout 15m -parallel 4 $(LONG))
	$(GO) test -timeout 15m -parallel 4 ./cmd/barista # real processes, boards and times: nothing beside it

browser: ## the distribution's Chromium for the browser tests, where it may be installed; else they are skipped
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
		echo "no Chromium: the browser tests are skipped"

pymodbus: ## a Modbus server that others wrote, to test against, where it may be installed; else that test is skipped
	@/usr/bin/python3 -c 'import pymodbus.server' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pymodbus python3-serial python3-serial-asyncio >/dev/null; } || \
		echo "no pymodbus: the test against a foreign Modbus server is skipped"

mosquitto: ## clients of MQTT that others wrote, where they may be installed; else their test is skipped
	@command -v mosquitto_sub >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto-clients >/dev/null; } || \
		echo "no mosquitto-clients: the test with foreign clients of MQTT is skipped"

promtool: ## Prometheus's own checker, out of the distribution's package and without installing that; else its tests are skipped
	@command -v promtool >/dev/null || test -x dist/promtool || { mkdir -p dist && command -v apt-get >/dev/null && \
		d=$$(mktemp -d) && cd $$d && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } >/dev/null && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool && chmod +x promtool && mv promtool "$(CURDIR)/dist/" && rm -rf $$d; } || \
		echo "no promtool: the tests of the alerts are skipped"

check: ## format, vet, staticcheck, walls, licences, unchanged modules, known holes
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags vmtest ./cmd/barista
	$(TOOLS) staticcheck ./...
	$(GO) test -run 'TestWalls|TestEveryPackage|TestOneLog' ./cmd/barista
	$(GO) test ./.ci/licenses
	$(GO) mod verify
	$(GO) mod verify -modfile=.ci/tools.mod
	@out=$$($(TOOLS) govulncheck ./... 2>&1); code=$$?; \
	if [ $$code -eq 0 ]; then echo "govulncheck: nothing known"; \
	elif echo "$$out" | grep -qE 'fetching vulnerabilities|dial tcp|no such host|connection refused|timeout|403|404'; then \
		echo "govulncheck: NOT RUN, its database is out of reach"; \
	else echo "$$out"; exit $$code; fi

PACKAGES ?= ./...
race: ## the shorter tests under the race detector; needs a C compiler
	@command -v gcc >/dev/null || command -v cc >/dev/null || { echo "make race needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m -parallel 4 $(PACKAGES)
	CGO_ENABLED=1 $(GO) test -race -timeout 10m -run '^(TestServicesShareTheWork|TestOneMachineOneProcess|TestMachineBeforeShop)$$' ./cmd/barista # real processes

fuzz: ## every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

bench: ## what an order costs, beside two bare loops that do its durable writes; how late a pump goes off; what a thousand machines cost by being here
	$(GO) test -run '^TestBench(Late|Fleet)?$$' -timeout 45m -count 1 -v ./cmd/barista -bench-orders

syncs: ## what an order costs the card, by file, and what an idle shop writes: counted under strace, four minutes
	$(GO) test -run '^TestSyncsOfAnOrder$$' -timeout 10m -count 1 -v ./cmd/barista -syncs

# make test plays the same chaos each time; by hand it is a new one.
SEED := $(shell date +%s)

chaos: ## by hand: 1,000 drinks with 300 random kills, a store harmed 100 times, servers of a cluster killed, 10,000 events into databases, noise and pulled cables on serial ports; SEED=N plays a day again
	@echo "again with SEED=$(SEED)"
	$(GO) test -run '^TestChaos$$' -timeout 60m -count 1 -v ./cmd/barista -chaos 300 -chaos-orders 1000 -chaos-seed $(SEED) $(CHAOS)
	$(GO) test -run '^TestStoreChaos$$' -timeout 60m -count 1 -v ./cmd/barista -store 100 -chaos-seed $(SEED)
	$(GO) test -run '^TestCluster$$' -timeout 15m -count 1 -v ./cmd/barista -cluster
	$(GO) test -timeout 30m -count 1 -v ./fleet/archive -events 10000 -postgres
	$(GO) test -run '^TestReplicas$$' -timeout 15m -count 1 -v ./fleet/queue -cluster
	$(GO) test -run '^TestChaos$$' -timeout 60m -count 1 -v ./driver/modbus -frames 1000000 -chaos-seed $(SEED)
	$(GO) test -run '^TestChaos$$' -timeout 60m -count 1 -v ./driver/lcus -frames 1000000 -chaos-seed $(SEED)
	$(GO) test -run '^TestChaos$$' -timeout 60m -count 1 -v ./driver/jura -frames 1000000 -chaos-seed $(SEED)
	$(GO) test -run '^TestPtyChaos$$' -timeout 60m -count 1 -v ./driver/modbus -ptyframes 10000
	$(GO) test -run '^TestPtyChaos$$' -timeout 60m -count 1 -v ./driver/lcus -ptyframes 10000
	$(GO) test -run '^TestPtyChaos$$' -timeout 60m -count 1 -v ./driver/jura -ptyframes 10000
	$(GO) test -run '^TestPtyCycles$$' -timeout 60m -count 1 -v ./driver/serial -cycles 1000

arm: ## static builds for Raspberry Pis
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/barista-arm64 ./cmd/barista
	CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/barista-armv7 ./cmd/barista
	CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=6 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/barista-armv6 ./cmd/barista

# A version that dpkg can sort: of the tag, and before every release where there
# is none. "dirty" is said, so that nobody wonders.
DEB_TAG     := $(shell git describe --tags --match 'v[0-9]*' --dirty=+dirty 2>/dev/null | sed -e 's/^v//' -e 's/-\([0-9]*\)-g/+\1.g/')
DEB_VERSION ?= $(or $(DEB_TAG),0.0.0~dev+$(shell git log -1 --format=%cd.%h --date=format:%Y%m%d%H%M%S 2>/dev/null || echo 0))
# The time of the source, so that the same source makes the same package.
DEB_EPOCH   := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DEB_ARCHS   ?= arm64 armhf amd64
CONTAINER   ?= buildah

deb: $(DEB_ARCHS:%=deb-%) ## Debian packages in dist/: arm64, armhf (also for the oldest Pis) and amd64

deb-docs: # what is the same in each package
	@mkdir -p dist
	gzip -9nc CHANGELOG.md >dist/CHANGELOG.md.gz
	printf 'barista (%s) unstable; urgency=medium\n\n  * In users'"'"' words: /usr/share/doc/barista/CHANGELOG.md.gz\n\n -- The barista authors <maintainers@barista.invalid>  %s\n' \
		'$(DEB_VERSION)' "$$(LC_ALL=C TZ=UTC date -R -d @$(DEB_EPOCH))" | gzip -9n >dist/changelog.gz
	$(GO) run ./.ci/licenses -texts >dist/licenses
	gzip -9nc dist/licenses >dist/licenses.gz
	rm -rf dist/man && mkdir -p dist/man dist/completion
	SOURCE_DATE_EPOCH=$(DEB_EPOCH) $(GO) run -tags man ./cmd/barista dist/man
	gzip -9n dist/man/*.1
	for s in bash zsh fish; do $(GO) run ./cmd/barista completion $$s >dist/completion/$$s || exit 1; done

deb-%: deb-docs ## one of them
	GOOS=linux GOARCH=$(if $(filter armhf,$*),arm,$*) $(if $(filter armhf,$*),GOARM=6) CGO_ENABLED=0 \
		$(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.packaged=$(DEB_VERSION)' -o dist/barista-$* ./cmd/barista
	DEB_ARCH=$* DEB_VERSION='$(DEB_VERSION)' DEB_BINARY=dist/barista-$* DEB_CHANGELOG=dist/changelog.gz DEB_LICENSES=dist/licenses.gz \
		SOURCE_DATE_EPOCH=$(DEB_EPOCH) $(TOOLS) nfpm package --config systemd/nfpm.yaml --packager deb --target dist/barista_$*.deb

container: ## an image of the program alone, where buildah, podman or docker is: CONTAINER=docker
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/container/image/usr/bin/barista ./cmd/barista
	cd dist/container && install -d -m 1777 image/tmp && install -d image/etc/barista image/var/lib/barista && chmod 1777 image/tmp && chmod 777 image/var/lib/barista
	tar -C dist/container/image --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$(DEB_EPOCH) -cf dist/container/image.tar .
	cp configs/container/Containerfile dist/container/
	$(CONTAINER) build -t barista -f dist/container/Containerfile dist/container

sbom: $(DEB_ARCHS:%=sbom-%) ## what is in the program of each package, as CycloneDX, in dist/

sbom-%: deb-% ## one of them, read out of the program itself
	$(TOOLS) cyclonedx-gomod bin -json -std -noserial -notimestamp -version '$(DEB_VERSION)' -output dist/barista-$*.cdx.json dist/barista-$*

reproducible: ## the same source makes the same program and the same package, here and in another folder
	.ci/reproducible '$(DEB_VERSION)'

test-vm: ## the package in a virtual machine: real kernel, real systemd, simulated metal; needs root on Debian 12 once
	@mkdir -p dist/vm
	$(MAKE) deb-amd64
	mv dist/barista_amd64.deb dist/vm/old.deb
	$(MAKE) deb-amd64 DEB_VERSION='$(DEB_VERSION)+vm1'
	mv dist/barista_amd64.deb dist/vm/new.deb
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -tags vmtest -trimpath -ldflags '$(LDFLAGS)' -o dist/vm/blocked ./cmd/barista
	$(GO) vet ./testdata/vm ./testdata/vm/world
	$(GO) test -count 1 -timeout 25m -v ./testdata/vm -vm

clean:
	rm -rf barista dist
