# Outrigger. `make help` lists what can be made. V=1 shows the commands; CFLAGS and LDFLAGS of yours come last.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
SHARE     = $(PREFIX)/share
SHIPPED  := $(if $(filter command,$(firstword $(origin VARIANT))),$(VARIANT),tuned)
VARIANT  ?= release
B        := build/$(VARIANT)
CC       := $(if $(filter fuzz,$(VARIANT)),clang,$(if $(filter default,$(origin CC)),gcc,$(CC)))
PYTHON   ?= /usr/bin/python3
Q        := $(if $(V),,@)
MAKEFLAGS += --no-print-directory
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
.DEFAULT_GOAL := all

# ── packages (Debian's names, | for or; elsewhere `make packages` looks for the libraries, names what is missing and stops) ──
PACKAGES_BUILD := gcc make pkg-config libc6-dev libuv1-dev libyaml-dev libcurl4-openssl-dev libssl-dev libc-ares-dev libpcre2-dev libhiredis-dev libxxhash-dev libisal-dev libjansson-dev libcjose-dev libllhttp-dev|node-llhttp
PACKAGES_TEST  := $(PACKAGES_BUILD) libcmocka-dev zlib1g-dev clang libclang-rt-dev|libclang-rt-14-dev python3 python3-pytest python3-pytest-xdist python3-yaml python3-jwt python3-cryptography curl redis-server $(if $(shell command -v promtool),,prometheus) chromium $(if $(shell command -v npm),,nodejs npm)
PACKAGES_DEB   := $(PACKAGES_BUILD) dpkg-dev gzip
PACKAGES_SHIP  := $(PACKAGES_DEB) lintian mandoc man-db systemd strace procps fish zsh curl python3 python3-pytest python3-yaml
PACKAGES_ROOTS := $(PACKAGES_SHIP) debootstrap iproute2 util-linux
PACKAGES_BENCH := $(PACKAGES_BUILD) nginx-light haproxy strace python3

# ── libraries ──
CORE_LIBS := yaml-0.1 libpcre2-8 libcrypto jansson
EDGE_LIBS := libuv libcurl libcares openssl hiredis cjose libisal
PKG        = $(shell pkg-config $(1) $(2) 2>/dev/null)
ifneq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),)
  LLHTTP_CFLAGS := $(call PKG,--cflags,libllhttp)
  LLHTTP_LIBS   := $(call PKG,--libs,libllhttp)
else
  # Debian 12 has the C sources only; 8.1.0 must be built strict, or it accepts request smuggling.
  LLHTTP_DIR    := /usr/share/llhttp
  LLHTTP_CFLAGS := -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
  LLHTTP_OBJ    := $(patsubst %,$B/llhttp/%.o,api http llhttp)
endif

# ── flags ──
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wvla -Wconversion -Wformat=2 \
            -Wno-sign-conversion $(if $(CI),$(if $(filter fuzz,$(VARIANT)),,-Werror))
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
COMMON   := -std=c17 -D_GNU_SOURCE -g -pthread -fno-strict-aliasing -fno-omit-frame-pointer $(WARN)
SAN      := -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_release := -O3 -flto=auto -D_FORTIFY_SOURCE=2 $(HARDEN)
LINK_release  := -O3 -flto=auto -pie -Wl,-z,relro,-z,now,-z,noexecstack
# tuned: release again, by a profile of its own work (gcc's), which a binary of the variant train has written. It is what `make deb` ships.
# Both look for an object's profile in the same place: its name is part of what tells one static function from another.
PROFILE_AT     = -dumpdir build/profile/$(dir $(@:$B/%=%))
FLAGS_train    = $(FLAGS_release) $(PROFILE_AT) -fprofile-generate -fprofile-update=prefer-atomic
LINK_train    := $(LINK_release) -fprofile-generate
FLAGS_tuned    = $(FLAGS_release) $(PROFILE_AT) -fprofile-use -fprofile-partial-training -fprofile-correction -Wno-missing-profile
LINK_tuned    := $(LINK_release)
FLAGS_debug   := -O1 $(SAN) -DOUTRIGGER_DEBUG
LINK_debug    := $(SAN)
FLAGS_tsan    := -O1 -fsanitize=thread -DOUTRIGGER_DEBUG
LINK_tsan     := -fsanitize=thread
FLAGS_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DOUTRIGGER_DEBUG
LINK_fuzz     := -fsanitize=fuzzer,address,undefined
FLAGS_cov     := -O0 --coverage -DOUTRIGGER_DEBUG -DOUTRIGGER_COVERAGE
LINK_cov      := --coverage
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
CPPFLAGS_ALL = -Iinclude $(LLHTTP_CFLAGS) $(call PKG,--cflags,$(CORE_LIBS) $(EDGE_LIBS)) $(CPPFLAGS)
CFLAGS_ALL   = $(COMMON) $(FLAGS_$(VARIANT)) -MMD -MP $(CFLAGS)
CORE_LINK    = $(call PKG,--libs,$(CORE_LIBS)) $(LLHTTP_LIBS) -lm
EDGE_LINK    = $(call PKG,--libs,$(EDGE_LIBS))
LDFLAGS_ALL  = -pthread $(LINK_$(VARIANT)) $(LDFLAGS)

# ── what is built from what ──
CORE_SRC := $(wildcard $(patsubst %,src/%/*.c,base conf http core policy))
EDGE_SRC := $(wildcard src/edge/*.c src/app/*.c)
CORE_OBJ := $(CORE_SRC:%.c=$B/%.o) $(LLHTTP_OBJ)
EDGE_OBJ := $(EDGE_SRC:%.c=$B/%.o) $B/gen/demo_conf.o $B/gen/live_files.o
RIG_OBJ  := $(patsubst %.c,$B/%.o,$(wildcard tests/rig/*.c))
SCENARIOS := $(wildcard tests/scenario/*.scn)
UNIT_BIN := $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/test_*.c))
EDGE_BIN := $(patsubst tests/edge/%.c,$B/edge-unit/%,$(wildcard tests/edge/test_*.c))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

all: $B/outrigger                       ## build the release binary (default)
$B/outrigger: $(EDGE_OBJ) $B/src/main.o $B/libcore.a
	@echo "  LINK $@"
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $(EDGE_OBJ) $B/src/main.o $B/libcore.a $(EDGE_LINK) $(CORE_LINK)
$B/libcore.a: $(CORE_OBJ)
	$Qrm -f $@; $(if $(filter fuzz,$(VARIANT)),llvm-ar-14,gcc-ar) rcs $@ $(CORE_OBJ)
$B/%.o: %.c
	@mkdir -p $(@D); echo "  CC   $<"
	$Q$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(if $(filter tests/%,$<),-Itests/rig) -c -o $@ $<
ifeq ($(VARIANT),tuned)
$(CORE_OBJ) $(EDGE_OBJ) $B/src/main.o: build/profile/made
build/profile/made: $(CORE_SRC) $(EDGE_SRC) src/main.c $(wildcard include/*/*.h src/*/*.h) tests/bench/train.sh build/release/bench/origin build/release/bench/load
	$Q$(MAKE) VARIANT=train all
	@rm -rf build/profile; echo "  TRAIN build/profile"; tests/bench/train.sh build/train/outrigger build/release/bench
	@touch $@
endif
$B/src/app/version.o: CPPFLAGS_ALL += -DOUTRIGGER_VERSION='"$(VERSION)"' -DOUTRIGGER_REVISION='"$(REVISION)"'
# conf/demo.yaml as a C string, so that `outrigger demo` needs no file
$B/gen/demo_conf.c: conf/demo.yaml
	@mkdir -p $(@D)
	$Q{ echo '/* generated from $< */'; echo 'extern const char demo_conf[];'; echo 'const char demo_conf[] ='; \
		sed -e 's/[\\"?]/\\&/g' -e 's/^/"/' -e 's/$$/\\n"/' $<; echo ';'; } > $@
# the live page; its charts are uPlot's when npm can get it, and a plain canvas' otherwise
UPLOT := uplot@1.6.32
page-modules:                           ## what the live page's browser test needs from npm
	$Qtest -d build/npm/node_modules/axe-core || npm install --silent --no-audit --no-fund --prefix build/npm playwright-core axe-core >/dev/null
build/npm/uplot.js build/npm/uplot.css &:
	@mkdir -p build/npm
	$Qif command -v npm >/dev/null && npm install --silent --no-audit --no-fund --prefix build/npm $(UPLOT) >/dev/null 2>&1; \
	then cp build/npm/node_modules/uplot/dist/uPlot.iife.min.js build/npm/uplot.js; cp build/npm/node_modules/uplot/dist/uPlot.min.css build/npm/uplot.css; \
	else echo "  npm or the package $(UPLOT) is not there: the live page draws with its own canvas"; \
		echo '/* uPlot was not there at build time */' | tee build/npm/uplot.js > build/npm/uplot.css; fi
LIVE := src/app/live/index.html src/app/live/live.css src/app/live/live.js build/npm/uplot.js build/npm/uplot.css
$B/gen/live_files.c: $(LIVE) Makefile
	@mkdir -p $(@D)
	$Q{ echo '/* generated */'; echo '#include "src/app/live.h"'; \
		for f in $(LIVE); do n=$$(basename $$f | tr . _); echo "static const unsigned char $$n[] = {"; od -An -v -tu1 $$f | sed 's/  *\([0-9]\)/,\1/g; s/^,//; s/$$/,/'; echo '};'; done; \
		echo 'const struct live_file live_files[] = {'; \
		for f in $(LIVE); do n=$$(basename $$f | tr . _); case $$f in *.html) p=/; t='text/html; charset=utf-8';; *.css) p=/$$(basename $$f); t=text/css;; \
			*) p=/$$(basename $$f); t=text/javascript;; esac; echo "{ \"$$p\", \"$$t\", $$n, sizeof($$n) },"; done; echo '{ 0 } };'; } > $@
$B/gen/%.o: $B/gen/%.c
	$Q$(CC) -I. $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<
$B/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	$Q$(CC) $(LLHTTP_CFLAGS) $(filter-out -W%,$(CFLAGS_ALL)) -w -c -o $@ $<
ifneq ($(LLHTTP_DIR),)
$(LLHTTP_DIR)/%.c:
	@echo "llhttp is missing: install libllhttp-dev (Debian 13, Fedora: llhttp-devel, Alpine: llhttp-dev, brew: llhttp) or node-llhttp (Debian 12)"; exit 1
endif
$B/unit/%: $B/tests/unit/%.o $(RIG_OBJ) $B/libcore.a
	@mkdir -p $(@D)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(CORE_LINK)
$B/libedge.a: $(EDGE_OBJ)
	$Qrm -f $@; $(if $(filter fuzz,$(VARIANT)),llvm-ar-14,gcc-ar) rcs $@ $(EDGE_OBJ)
$B/edge-unit/%: $B/tests/edge/%.o $(patsubst %.c,$B/%.o,$(filter-out tests/edge/test_%,$(wildcard tests/edge/*.c))) $B/libedge.a $B/libcore.a
	@mkdir -p $(@D)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lz $(EDGE_LINK) $(CORE_LINK)
$B/fuzz/%: $B/tests/fuzz/%.o $(RIG_OBJ) $B/libcore.a
	@mkdir -p $(@D)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CORE_LINK)
$B/scenario: $B/tests/scenario/run.o $(RIG_OBJ) $B/libcore.a
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CORE_LINK)
# every reference to the allocator goes through the counter of tests/torture/nth.c
$B/torture: $(patsubst %.c,$B/%.o,$(wildcard tests/torture/*.c)) $(RIG_OBJ) $B/libcore.a
	$Q$(CC) $(LDFLAGS_ALL) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc -o $@ $^ $(CORE_LINK)
.SECONDARY:
-include $(shell find build/$(VARIANT) -name '*.d' 2>/dev/null)

unit: $(UNIT_BIN)                       ## run the unit tests of this VARIANT
	$Qset -e; for t in $(UNIT_BIN); do CMOCKA_MESSAGE_OUTPUT=STDOUT $$t > $$t.log 2>&1 || { cat $$t.log; exit 1; }; done; echo "unit tests: $(words $(UNIT_BIN)) files passed"
edge-unit: $(EDGE_BIN)                  ## run the unit tests of edge/ and app/, over loopback
	$Qset -e; for t in $(EDGE_BIN); do CMOCKA_MESSAGE_OUTPUT=STDOUT $$t > $$t.log 2>&1 || { cat $$t.log; exit 1; }; done; echo "edge unit tests: $(words $(EDGE_BIN)) files passed"
bench: build/release/bench/origin build/release/bench/load ## measure beside nginx and haproxy (ARGS=--quick for a first look)
	$Q$(MAKE) VARIANT=tuned all
	$Q$(PYTHON) tests/bench/bench.py $(ARGS)
build/release/bench/%: tests/bench/%.c tests/bench/wire.h tests/bench/latency.h
	@mkdir -p $(@D); echo "  CC   $<"
	$Q$(CC) $(COMMON) -O3 $(CFLAGS) -o $@ $<
scenario: $B/scenario                   ## play the scenarios: real policies, virtual time, no sockets
	$Q$B/scenario $(SCENARIOS)
torture: $B/torture                     ## every scenario in thousands of worlds: clients killed, allocations failing, at random
	$Q$B/torture $(SCENARIOS)
# Two at a time: they mostly wait. The tests of one file go one after another, as they share what a module fixture has started.
e2e: $B/outrigger                       ## run the end-to-end tests against this VARIANT's binary (ARGS="-k WORD -n 0")
	$QOUTRIGGER_BIN=$B/outrigger $(PYTHON) -m pytest -q -p no:cacheprovider -n 2 --dist loadfile tests/e2e $(ARGS)
fault-matrix: build/release/outrigger   ## what the upstream, the clients and Redis may do at once, and what comes of it: docs/fault-matrix.md
	$QOUTRIGGER_BIN=$< $(PYTHON) tests/e2e/matrix.py > build/fault-matrix.md && mv build/fault-matrix.md docs/fault-matrix.md
bench-policies: build/release/bench/origin build/release/bench/load ## ... and what the policies cost: docs/policies-cost.md
	$Q$(MAKE) VARIANT=tuned all
	$Q$(PYTHON) tests/bench/policies.py $(ARGS)
promises: build/release/outrigger       ## what the policies promise, measured with a real Redis: docs/promises.md
	$QOUTRIGGER_BIN=$< $(PYTHON) tests/bench/promises.py docs/promises.md
fuzz-replay: $(FUZZ_BIN)                ## every fuzz target over its corpus (VARIANT=fuzz)
	$Qset -e; for t in $(FUZZ_BIN); do n=$$(basename $$t); d=tests/fuzz/corpus/$${n#fuzz_}; $$t -runs=0 $$d > $$t.log 2>&1 || { cat $$t.log; exit 1; }; echo "$$n: $$(ls $$d | wc -l) seeds replayed"; done
reference: all                          ## print the pages that are made of the program's tables: docs, completions, manual
	$Qset -e; r="$B/outrigger reference"; $$r configuration > docs/configuration.md; $$r errors > docs/errors.md; $$r example > conf/outrigger.yaml; \
		$$r man > docs/outrigger.8; $$r completions-bash > conf/completions/outrigger.bash; $$r completions-zsh > conf/completions/_outrigger; \
		$$r completions-fish > conf/completions/outrigger.fish; $B/outrigger schema > conf/outrigger.schema.json
	$QOUTRIGGER_BIN=$B/outrigger $(PYTHON) tests/deploy/print_metrics.py > build/print_metrics.log 2>&1 || { cat build/print_metrics.log; exit 1; }
tuned:                                  ## the binary for production, by a profile of its own work: build/tuned/outrigger (gcc; a minute)
	$Q$(MAKE) VARIANT=tuned all
deb: $(if $(filter $(SHIPPED),$(VARIANT)),$B/outrigger) ## a Debian package of it: build/outrigger_VERSION_ARCH.deb (VARIANT=release: the same, byte by byte, each time)
	$Q$(MAKE) VARIANT=$(SHIPPED) all
	+$QREVISION=$(REVISION) VARIANT=$(SHIPPED) conf/debian/build.sh $(VERSION) build
# promtool comes out of Debian's package, which is not installed: it would start a server
build/tools/promtool:
	$Qmkdir -p $(@D)
	$Qif command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; else \
		cd $(@D) && apt-get download -q prometheus >/dev/null 2>&1 && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool > promtool.new \
		&& chmod 755 promtool.new && mv promtool.new promtool && rm prometheus_*.deb; fi
packages-deb:                           ## ... what building the package needs
	$Q$(INSTALL_MISSING) $(PACKAGES_DEB:%='%')
packages-ship:                          ## ... what testing the deploy files needs
	$Q$(INSTALL_MISSING) $(PACKAGES_SHIP:%='%')
deploy: all deb build/tools/promtool    ## test the deploy files, as far as that is quick
	$QOUTRIGGER_BIN=$B/outrigger $(PYTHON) -m pytest -q -p no:cacheprovider tests/deploy -m 'not slow' $(ARGS)
deploy-check:                           ## ... all of it: image and package in fresh Debian roots (as root; minutes)
	$Q$(INSTALL_MISSING) $(PACKAGES_ROOTS:%='%')
	$Q$(MAKE) VARIANT=tuned all deb build/tools/promtool
	$QOUTRIGGER_BIN=build/tuned/outrigger $(PYTHON) -m pytest -q -p no:cacheprovider tests/deploy $(ARGS)
lint:                                   ## layers, sizes, banned calls
	$Q$(PYTHON) tests/lint/lint.py
demo: packages                          ## install what is missing, build, and run outrigger in front of a demo app
	$Q$(MAKE) VARIANT=release all
	$Qbuild/release/outrigger demo $(ARGS)
install: $B/outrigger                   ## PREFIX=/usr/local, DESTDIR=; VARIANT=tuned for production
	$Qinstall -D -m 755 $B/outrigger $(DESTDIR)$(PREFIX)/bin/outrigger
	$Qinstall -d $(DESTDIR)$(SHARE)/outrigger/examples $(DESTDIR)$(SHARE)/outrigger/prometheus $(DESTDIR)$(SHARE)/outrigger/grafana $(DESTDIR)$(SHARE)/doc/outrigger
	$Qinstall -m 644 conf/outrigger.yaml conf/demo.yaml conf/start.yaml conf/outrigger.schema.json $(DESTDIR)$(SHARE)/outrigger/
	$Qinstall -m 644 conf/examples/*.yaml $(DESTDIR)$(SHARE)/outrigger/examples/
	$Qinstall -m 644 conf/prometheus/*.yaml $(DESTDIR)$(SHARE)/outrigger/prometheus/
	$Qinstall -m 644 conf/grafana/*.json $(DESTDIR)$(SHARE)/outrigger/grafana/
	$Qinstall -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(SHARE)/doc/outrigger/
	$Qinstall -D -m 644 docs/outrigger.8 $(DESTDIR)$(SHARE)/man/man8/outrigger.8
	$Qinstall -D -m 644 conf/completions/outrigger.bash $(DESTDIR)$(SHARE)/bash-completion/completions/outrigger
	$Qinstall -D -m 644 conf/completions/_outrigger $(DESTDIR)$(SHARE)/zsh/site-functions/_outrigger
	$Qinstall -D -m 644 conf/completions/outrigger.fish $(DESTDIR)$(SHARE)/fish/vendor_completions.d/outrigger.fish
	$Qinstall -D -m 644 conf/systemd/outrigger.service $(DESTDIR)$(PREFIX)/lib/systemd/system/outrigger.service
	$Qsed -i 's,/usr/share/outrigger/,$(SHARE)/outrigger/,' $(DESTDIR)$(SHARE)/outrigger/*.yaml $(DESTDIR)$(SHARE)/outrigger/examples/*.yaml $(DESTDIR)$(SHARE)/man/man8/outrigger.8
	$Qsed -i 's,=/usr/bin/,=$(PREFIX)/bin/,' $(DESTDIR)$(PREFIX)/lib/systemd/system/outrigger.service
uninstall:                              ## what install has put there
	$Qrm -rf $(DESTDIR)$(PREFIX)/bin/outrigger $(DESTDIR)$(SHARE)/outrigger $(DESTDIR)$(SHARE)/doc/outrigger $(DESTDIR)$(SHARE)/man/man8/outrigger.8 \
		$(DESTDIR)$(SHARE)/bash-completion/completions/outrigger $(DESTDIR)$(SHARE)/zsh/site-functions/_outrigger \
		$(DESTDIR)$(SHARE)/fish/vendor_completions.d/outrigger.fish $(DESTDIR)$(PREFIX)/lib/systemd/system/outrigger.service
# pkg-config was asked when this file was read; what is installed here is found by the make that is started next
INSTALL_MISSING = MODULES='$(CORE_LIBS) $(EDGE_LIBS)' tests/packages.sh
packages:                               ## install what building needs, where it is missing
	$Q$(INSTALL_MISSING) $(PACKAGES_BUILD:%='%')
packages-test:                          ## ... what the tests need
	$Q$(INSTALL_MISSING) $(PACKAGES_TEST:%='%')
packages-bench:                         ## ... what the bench needs
	$Q$(INSTALL_MISSING) $(PACKAGES_BENCH:%='%')
test: packages-test                     ## everything: installs what is missing, builds, lints, tests; sanitizers included
	$Q$(MAKE) packages-ship
	$Q$(MAKE) lint
	$Q$(MAKE) VARIANT=release all unit
	$Q$(MAKE) VARIANT=debug unit edge-unit scenario torture
	$Q$(MAKE) VARIANT=fuzz fuzz-replay
	$Q$(MAKE) VARIANT=tuned deploy
	$Q$(MAKE) page-modules
	$Q$(MAKE) VARIANT=tuned e2e
	$Q$(MAKE) VARIANT=debug e2e
	$QOUTRIGGER_WORKERS=2 $(MAKE) VARIANT=tsan e2e
	@echo "make test: everything passed"
clean:                                  ## remove everything built
	$Qrm -rf build
help:                                   ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
.PHONY: fault-matrix reference tuned deb deploy deploy-check packages-deb packages-ship page-modules demo install uninstall e2e fuzz-replay lint packages packages-test packages-bench test all unit edge-unit bench clean help scenario torture
