//! Tests of plugins that Flowloom rejects before the first packet, and of the reasons.

use std::path::Path;

use crate::command::{Run, meter, without_stack};
use crate::guests::{file, plugin};
use crate::wat::{Module, component, typed};

fn load(path: &Path) -> Run {
    let hand = format!("hand={}", path.display());
    meter("dns.pcap").args(["--plugin", &hand]).run()
}

#[track_caller]
fn refused(path: &Path, reason: &str) {
    let reason = reason.replace("FILE", &path.display().to_string());
    load(path).fails(&format!("plugin 'hand': {reason}"));
}

/// Checks that Flowloom rejects the guest `evil` with these options.
#[track_caller]
fn evil_refused(options: &str, reason: &str) {
    meter("dns.pcap")
        .plugin(&format!("evil,{options}"))
        .run()
        .fails(&format!("plugin 'evil': {reason}"));
}

/// The other tests change one thing in this module. They are only valid if the module itself is accepted.
#[test]
fn a_correct_hand_written_module_is_accepted() {
    let (_folder, path) = Module::default().file();
    load(&path)
        .done()
        .reports_line("plugin   hand : 41 events in 42 calls, _ ns per event, _ KiB, 0 traps");
}

#[test]
fn files_that_are_not_components() {
    for (bytes, what) in [
        (&b"Dear diary"[..], "it has no WebAssembly header"),
        (b"\x1b[2J", "it has no WebAssembly header"),
        (b"", "it has 0 bytes"),
        (b"\0", "it has 1 bytes"),
        (b"\0asm", "it has no WebAssembly header"),
    ] {
        let (_folder, path) = file("hand.wasm", bytes);
        refused(
            &path,
            &format!("FILE is not a WebAssembly component: {what}"),
        );
    }
    refused(
        Path::new("/bin/sh"),
        "FILE is not a WebAssembly component: it is a native program or library; plugins are \
         WebAssembly",
    );
}

#[test]
fn a_truncated_component_and_one_with_trailing_bytes() {
    let whole = std::fs::read(plugin("slicer")).expect("a plugin");
    for bytes in [&whole[..whole.len() / 2], &[&whole, &b"tail"[..]].concat()] {
        let (_folder, path) = file("hand.wasm", bytes);
        let run = load(&path).exits(1);
        let message = format!(
            "flowloom: plugin 'hand': {} does not compile: unexpected end-of-file",
            path.display()
        );
        assert!(run.stderr.starts_with(&message), "{run}");
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
    }
}

#[test]
fn a_core_module_without_component_type() {
    let (_folder, path) = file("hand.wasm", wat::parse_str("(module)").expect("a module"));
    refused(
        &path,
        "FILE is not a WebAssembly component: it is a core module without a component type; build \
         it with one of Flowloom's SDKs or wit-bindgen",
    );
}

#[test]
fn a_core_module_without_the_exports_of_its_component_type() {
    let (_folder, path) = file("hand.wasm", typed("(module)", |contract| contract));
    refused(
        &path,
        "FILE is not a WebAssembly component: its core module does not match its component type: \
         failed to decode world from module: module was not valid: failed to find export of \
         interface `flowloom:plugin/feature@0.1.0` function `open`",
    );
}

#[test]
fn paths_that_are_not_regular_files() {
    refused(Path::new("."), "FILE is not a regular file");
    refused(Path::new("/dev/zero"), "FILE is not a regular file");
    refused(
        Path::new("missing.wasm"),
        "cannot read FILE: No such file or directory (os error 2)",
    );
    // The FIFO has no writer: reading from it would wait forever.
    let (folder, _) = file("beside", "");
    let fifo = folder.path().join("fifo");
    crate::guests::fifo(&fifo);
    refused(&fifo, "FILE is not a regular file");
}

#[test]
fn a_file_that_is_too_large() {
    let (_folder, path) = file("hand.wasm", b"\0asm\x0d\0\x01\0");
    let large = std::fs::File::options().write(true).open(&path);
    large
        .and_then(|file| file.set_len((64 << 20) + 1))
        .expect("a sparse file");
    refused(
        &path,
        "FILE has 67108865 bytes; at most 67108864 are accepted",
    );
}

#[test]
fn unknown_imports() {
    for import in [
        "wasi:sockets/tcp@0.3.0",
        "wasi:filesystem/types@0.1.0",
        "wasi:cli/environment",
        "flowloom:plugin/secret@0.1.0",
        "evil:host/root",
    ] {
        let text = format!(r#"(component (import "{import}" (instance)))"#);
        let (_folder, path) = component(&text);
        refused(
            &path,
            &format!(
                "imports '{import}', which Flowloom does not provide; only \
                 flowloom:plugin/log and wasi 0.2 may be imported"
            ),
        );
    }
}

#[test]
fn other_versions_of_the_contract() {
    let built_against = |version: &str| {
        let edit = |text: String| text.replace("0.1.0", version);
        let module = edit(Module::default().text());
        file("hand.wasm", typed(&module, edit))
    };
    for version in ["0.3.0", "0.2.0", "1.0.0"] {
        let (_folder, path) = built_against(version);
        let reason = format!("requires flowloom:plugin {version}; this Flowloom has 0.1.0");
        refused(&path, &reason);
    }
    let (_folder, path) =
        component(r#"(component (import "flowloom:plugin/log@0.2.0" (instance)))"#);
    refused(
        &path,
        "requires flowloom:plugin 0.2.0; this Flowloom has 0.1.0",
    );
    // A later version of the same contract only adds to it.
    let (_folder, path) = built_against("0.1.9");
    load(&path).done();
}

#[test]
fn the_right_name_with_another_type() {
    let module = Module::default()
        .text()
        .replace(r#"#finish")"#, r#"#finish") (result i32) i32.const 0"#);
    let edit = |text: String| text.replace("finish: func();", "finish: func() -> u32;");
    let (_folder, path) = file("hand.wasm", typed(&module, edit));
    refused(
        &path,
        "does not match the contract: failed to convert function to given type: type mismatch with \
         results: expected 0-tuple, found 1-tuple",
    );
}

#[test]
fn missing_exports() {
    let (_folder, path) = component("(component)");
    refused(
        &path,
        "exports neither flowloom:plugin/feature nor flowloom:plugin/batch-feature 0.1.0",
    );
    let (_folder, path) = component(
        r#"(component (instance $empty)
             (export "flowloom:plugin/feature@0.1.0" (instance $empty)))"#,
    );
    refused(
        &path,
        "does not match the contract: instance export `flowloom:plugin/feature@0.1.0` does not have \
         export `open`",
    );
}

#[test]
fn disabled_webassembly_features() {
    for (item, reason) in [
        (
            "(memory i64 1)",
            "memory64 must be enabled for 64-bit memories",
        ),
        (
            "(memory 1 1 shared)",
            "threads must be enabled for shared memories",
        ),
        (
            "(type (struct))",
            "struct indexed types not supported without the gc feature",
        ),
        ("(tag)", "exceptions proposal not enabled"),
    ] {
        let (_folder, path) = component(&format!("(component (core module {item}))"));
        let run = load(&path).exits(1);
        let message = format!(
            "flowloom: plugin 'hand': {} does not compile: failed to parse WebAssembly module: \
             {reason} (at offset 0x",
            path.display()
        );
        assert!(run.stderr.starts_with(&message), "{run}");
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
    }
}

#[test]
fn ten_thousand_core_instances() {
    let instances = "(core instance (instantiate $m))".repeat(10_000);
    let (_folder, path) = component(&format!("(component (core module $m) {instances})"));
    refused(
        &path,
        "FILE does not compile: failed to parse WebAssembly module: instances count exceeds limit \
         of 1000 (at offset 0x21)",
    );
}

#[test]
fn initial_memory_above_the_limit() {
    for (module, requested) in [
        (
            Module {
                memory: "65536",
                ..Module::default()
            },
            4_294_967_296,
        ),
        (
            Module {
                more: "(table 100000000 funcref)",
                ..Module::default()
            },
            1_601_048_576,
        ),
    ] {
        let (_folder, path) = module.file();
        let run = load(&path).exits(1);
        let reported = run
            .stderr
            .strip_prefix("flowloom: plugin 'hand': cannot be opened: it requested ")
            .and_then(|rest| rest.strip_suffix(" bytes of memory; 268435456 are allowed\n"))
            .and_then(|reported| reported.parse::<u64>().ok());
        // The size includes data of the host for an instance, which depends on the version of the engine.
        let is_reported = reported
            .is_some_and(|reported| (requested + 1..requested + 65_536).contains(&reported));
        assert!(is_reported, "{run}");
    }
    let (_folder, path) = Module {
        more: "(memory 1) (memory 1) (memory 1) (memory 1)",
        ..Module::default()
    }
    .file();
    refused(
        &path,
        "cannot be opened: resource limit exceeded: memory count too high at 5",
    );
}

#[test]
fn an_open_that_never_returns_or_traps() {
    const LOOP: &str = "(loop $l (br $l)) i32.const 0";
    for (module, reason) in [
        (
            Module {
                more: "(start $s) (func $s (loop $l (br $l)))",
                ..Module::default()
            },
            "it took more than 500 ms of CPU time",
        ),
        (
            Module {
                open: LOOP,
                ..Module::default()
            },
            "it took more than 500 ms of CPU time",
        ),
        (
            Module {
                more: r#"(func (export "cabi_post_flowloom:plugin/feature@0.1.0#open") (param i32)
                           (loop $l (br $l)))"#,
                ..Module::default()
            },
            "it took more than 500 ms of CPU time",
        ),
        (
            Module {
                more: "(start $s) (func $s unreachable)",
                ..Module::default()
            },
            "wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            Module {
                open: "call $deeper",
                ..Module::default()
            },
            "wasm trap: call stack exhausted",
        ),
        (
            Module {
                open: "i32.const -4",
                ..Module::default()
            },
            "pointer out of bounds of memory",
        ),
        (
            Module {
                open: "i32.const 1025",
                ..Module::default()
            },
            "return pointer not aligned",
        ),
    ] {
        let (_folder, path) = module.file();
        let hand = format!("hand={}", path.display());
        let run = meter("dns.pcap").args(["--plugin", &hand]).run().exits(1);
        assert_eq!(
            without_stack(run.stderr.trim_end()),
            format!("flowloom: plugin 'hand': cannot be opened: {reason}")
        );
    }
}

/// The host calls the guest's `cabi_realloc` to pass options.
#[test]
fn a_realloc_that_never_returns_or_returns_an_invalid_pointer() {
    for (realloc, reason) in [
        (
            "(loop $l (br $l)) i32.const 0",
            "it took more than 500 ms of CPU time",
        ),
        ("i32.const -1", "realloc return: result not aligned"),
        ("i32.const -4", "realloc return: beyond end of memory"),
    ] {
        let module = Module {
            realloc,
            ..Module::default()
        };
        let (_folder, path) = module.file();
        let hand = format!("hand={},key=value", path.display());
        let run = meter("dns.pcap").args(["--plugin", &hand]).run().exits(1);
        assert_eq!(
            without_stack(run.stderr.trim_end()),
            format!("flowloom: plugin 'hand': cannot be opened: {reason}")
        );
    }
}

#[test]
fn a_panic_in_open_is_shown_escaped_and_shortened() {
    let run = meter("dns.pcap")
        .plugin("evil,mode=panic,at=open")
        .run()
        .exits(1);
    // A log line of a plugin has at most 1 KiB, including the text before the message. The error of the command does
    // not repeat it.
    let start = r"evil panicked: on purpose \u{1b}[31m\u{202e}";
    let text = format!("{start}{}…", "x".repeat(1_021 - start.len()));
    assert_eq!(
        run.stderr.lines().collect::<Vec<_>>(),
        [format!("flowloom: plugin 'evil': cannot be opened: {text}"),]
    );
}

#[test]
fn a_panic_names_its_source_line() {
    let run = meter("dns.pcap").plugin("panics,at=open").run().exits(1);
    let first = run.stderr.lines().next().unwrap_or_default();
    let start = "flowloom: plugin 'panics': cannot be opened: panics panicked in open at \
                 tests/guests/panics/src/lib.rs:";
    assert!(first.starts_with(start), "{run}");
    assert!(first.ends_with(": one more than expected"), "{run}");
}

#[test]
fn invalid_output_names() {
    for name in ["Bad", "1st", "", "a-b", "a b", "ä", &"x".repeat(33)] {
        evil_refused(
            &format!("outputs={name}:integer"),
            &format!(
                "declares output '{name}', which is not a valid name; use [a-z][a-z0-9_]{{0,31}}"
            ),
        );
    }
    evil_refused(
        "outputs=a\u{1b}[2J:integer",
        "declares output 'a\\u{1b}[2J', which is not a valid name; use [a-z][a-z0-9_]{0,31}",
    );
    evil_refused(
        "outputs=a:integer+b:text+a:float",
        "declares output 'a' twice",
    );
}

#[test]
fn an_output_may_have_the_name_of_a_core_field() {
    let run = meter("dns.pcap")
        .plugin("evil,outputs=src_ip:integer")
        .jsonl()
        .run()
        .done();
    for flow in run.flows() {
        assert_eq!(
            flow["udps"]["evil"]["src_ip"],
            flow["bidirectional_packets"]
        );
        assert!(flow["src_ip"].is_string(), "{flow:?}");
    }
}

#[test]
fn too_many_outputs() {
    let outputs = |n: usize| {
        let names: Vec<_> = (0..n).map(|n| format!("o{n}:integer")).collect();
        format!("outputs={}", names.join("+"))
    };
    evil_refused(
        &outputs(129),
        "declares 129 outputs; at most 128 are accepted",
    );
    evil_refused(
        &outputs(2_000),
        "declares 2000 outputs; at most 128 are accepted",
    );
    let most = format!("evil,{}", outputs(128));
    meter("dns.pcap").plugin(&most).run().done();
}

#[test]
fn unknown_fields() {
    evil_refused(
        "packet=ip_size+ttl2",
        "requests packet field 'ttl2', which does not exist in this version of Flowloom; did you mean 'ttl'?",
    );
    evil_refused(
        "at_update=bidirectional_packet",
        "requests flow field 'bidirectional_packet', which does not exist in this version of Flowloom; \
         did you mean 'bidirectional_packets'?",
    );
    // The field exists only with SPLT analysis.
    evil_refused(
        "at_expire=splt_ps",
        "requests flow field splt_ps, which this run does not have; it exists with splt_analysis",
    );
    evil_refused(
        "packet=\u{1b}[2J",
        "requests packet field '\\u{1b}[2J', which does not exist in this version of Flowloom; `flowloom fields` \
         lists all fields",
    );
    evil_refused("packet=ttl+ttl", "requests packet field 'ttl' twice");
    evil_refused(
        "payload=65576",
        "requests 65576 bytes of each payload; a packet has at most 65575",
    );
    evil_refused(
        "packets_per_flow=0",
        "declares packets-per-flow 0; declare at least 1, or none",
    );
}
