# For scripts that build Rust for WebAssembly: cargo_wasm, which is `cargo build` with a compiler that
# can. Ends the script with code 69 where there is none.

triple=wasm32-unknown-unknown

# Whether the compiler in the path can; rustup may have to add the target.
has_target() {
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$triple/lib" ]
}

cargo_wasm() {
    linker=$(command -v wasm-ld-22 || command -v wasm-ld || true)
    if has_target || { timeout 20 rustup target add "$triple" >/dev/null 2>&1 && has_target; }; then
        cargo build --target "$triple" "$@"
    elif [ -d /usr/lib/rustlib/src ] && [ -n "$linker" ]; then
        # Debian's rustc-web builds the standard library from its sources, which is unstable. What
        # rustup says to its own compiler must not reach this one.
        env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTDOC -u RUSTFLAGS \
            RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
            /usr/bin/cargo build --target "$triple" -Zbuild-std=std,panic_abort "$@"
    elif command -v cargo >/dev/null; then
        echo "$0: the Rust compiler does not know WebAssembly: rustup target add $triple" \
            "(or on Debian: apt-get install rustc-web cargo-web rust-web-src lld-22)" >&2
        exit 69
    else
        echo "$0: there is no Rust: install it from https://rustup.rs," \
            "then rustup target add $triple" >&2
        exit 69
    fi
}
