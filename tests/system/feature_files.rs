//! Tests of `flowloom plugin compile`: features as text, compiled without another compiler.

use std::fs;

use crate::command::{flowloom, meter};
use crate::guests::udps;

/// Compiles a text, and returns the folder with `x.wasm`.
fn compiled(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("x.features"), text).expect("the folder is writable");
    let run = flowloom()
        .folder(folder.path())
        .args(["plugin", "compile", "x.features", "-o", "x.wasm"])
        .run()
        .done();
    assert!(run.stdout.starts_with("x.wasm: "), "{run}");
    folder
}

#[test]
fn compiled_features_have_the_values_of_the_core() {
    let folder = compiled(
        "n = count()              # Packets.\n\
         up = sum(ip_size, src2dst)  # Bytes.\n\
         mean = mean(ip_size)\n\
         least = min(ip_size)\n\
         most = max(ip_size)\n",
    );
    for capture in [
        "dns.pcap",
        "tls13.pcap",
        "http.pcap",
        "odd.pcap",
        "fragments.pcap",
    ] {
        let flows = meter(capture)
            .args([
                "--statistical-analysis",
                "--accounting-mode",
                "1",
                "--plugin",
            ])
            .arg(folder.path().join("x.wasm"))
            .jsonl()
            .run()
            .done()
            .flows();
        assert!(!flows.is_empty(), "{capture}");
        for flow in flows {
            let values = udps(&flow, "x");
            for (output, column) in [
                ("n", "bidirectional_packets"),
                ("mean", "bidirectional_mean_ps"),
                ("least", "bidirectional_min_ps"),
                ("most", "bidirectional_max_ps"),
            ] {
                let (value, expected) = (values[output].as_f64(), flow[column].as_f64());
                let (value, expected) = (value.expect(output), expected.expect(column));
                assert!(
                    (value - expected).abs() <= 1e-9 * expected,
                    "{capture}: {output}"
                );
            }
            let up = values["up"].as_u64();
            assert_eq!(up, flow["src2dst_bytes"].as_u64(), "{capture}");
        }
    }
}

#[test]
fn the_same_text_gives_the_same_bytes() {
    let text = "big = count(where ip_size > 1000)\n";
    let read = |folder: tempfile::TempDir| fs::read(folder.path().join("x.wasm")).expect("a file");
    assert_eq!(read(compiled(text)), read(compiled(text)));
}

#[test]
fn mistakes_show_their_place_and_write_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.features");
    let run = |output: &str| {
        flowloom()
            .folder(folder.path())
            .args(["plugin", "compile", "x.features", "-o", output])
            .run()
    };
    fs::write(&path, "big = count(where ip_siz > 1000)\n").expect("the folder is writable");
    let shown = run("x.wasm").exits(1);
    for part in ["x.features:1:", "ip_siz", "ip_size"] {
        assert!(shown.stderr.contains(part), "no {part} in {shown}");
    }
    assert!(!folder.path().join("x.wasm").exists());
    // Something that the compiler does not support yet.
    fs::write(&path, "middle = median(ip_size, first 9)\n").expect("the folder is writable");
    let shown = run("x.wasm").exits(1);
    assert!(
        shown
            .stderr
            .starts_with("flowloom: cannot compile x.features: "),
        "{shown}"
    );
    fs::write(&path, "n = count()\n").expect("the folder is writable");
    run("x.features").refuses_usage("x.features is both the file of features and the component");
    fs::write(&path, "#".repeat(70_000)).expect("the folder is writable");
    let shown = run("x.wasm").exits(1);
    assert!(
        shown
            .stderr
            .starts_with("flowloom: cannot read x.features: "),
        "{shown}"
    );
}
