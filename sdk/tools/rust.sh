# Included by scripts that build Rust for WebAssembly. Defines
#
# - cargo_wasm, which runs `cargo build` with a compiler that supports WebAssembly. It exits with status 69 if
#   there is none.
# - warn_of_prints, which checks a module that this compiler built.

triple=wasm32-unknown-unknown

# Checks whether the compiler in the path supports WebAssembly. rustup may have to add the target first.
has_target() {
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$triple/lib" ]
}

cargo_wasm() {
    linker=$(command -v wasm-ld-22 || command -v wasm-ld || true)
    if has_target || { timeout 20 rustup target add "$triple" >/dev/null 2>&1 && has_target; }; then
        cargo build --target "$triple" "$@"
    elif [ -d /usr/lib/rustlib/src ] && [ -n "$linker" ]; then
        # With Debian's rustc-web, cargo builds the standard library from source, which is an unstable
        # feature. The variables that rustup sets for its own compiler must not reach this one.
        env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTDOC -u RUSTFLAGS \
            RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
            /usr/bin/cargo build --target "$triple" -Zbuild-std=std,panic_abort "$@"
    elif command -v cargo >/dev/null; then
        echo "$0: the Rust compiler does not support WebAssembly; run \`rustup target add $triple\`" \
            "(on Debian: \`apt-get install rustc-web cargo-web rust-web-src lld-22\`)" >&2
        exit 69
    else
        echo "$0: cannot find cargo; install Rust from https://rustup.rs," \
            "then run \`rustup target add $triple\`" >&2
        exit 69
    fi
}

# warn_of_prints MODULE: warns if the module contains the code behind println!. On this target the standard library
# discards all output, and a library cannot change that. The text of the panic marks the code: unlike the names of
# functions, it remains if the code is inlined.
warn_of_prints() {
    if grep -aq 'failed printing to ' "$1"; then
        echo "warning: $(basename "$1" .wasm) contains println!, eprintln!, print!, eprint! or dbg!, whose text is" \
            "lost in WebAssembly; use flowloom_sdk::info!, warn!, debug! or dbg!; \`cargo clippy\` shows the places" >&2
    fi
}
