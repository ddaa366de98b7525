//! Tests of `flowloom plugin compile`: features as text, compiled without another compiler.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::command::{captures, flowloom, meter};
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

/// Writes a file into a folder.
fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("the folder is writable");
}

/// The text of features that several tests use.
const SIZES: &str =
    "# Two sizes.\nbig = count(where ip_size > 1000)  # Packets.\nmost = max(ip_size)\n";

#[test]
fn features_stand_wherever_a_plugin_may_stand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "x.features", SIZES);
    let run = |options: &[&str]| {
        let run = flowloom()
            .folder(folder.path())
            .arg("meter")
            .arg(captures().join("tls13.pcap"))
            .args(options)
            .jsonl()
            .run();
        let of = |flow| serde_json::to_value(udps(&flow, "x")).expect("JSON");
        run.done().flows().into_iter().map(of).collect::<Vec<_>>()
    };
    let expected = run(&["--plugin", "x.features"]);
    assert_eq!(expected[0]["most"], 849);
    assert_eq!(run(&["--plugin", "x=x.features"]), expected);
    fs::create_dir(folder.path().join("all")).expect("the folder is writable");
    write(&folder.path().join("all"), "x.features", SIZES);
    assert_eq!(run(&["--plugins", "all"]), expected);
    let digest = hex::encode(Sha256::digest(SIZES));
    let pin = |digest: &str| {
        let text =
            format!("version = 1\nunlisted = \"refuse\"\n[plugins.x]\nsha256 = \"{digest}\"\n");
        write(folder.path(), "policy.toml", &text);
    };
    pin(&digest);
    assert_eq!(
        run(&["--policy", "policy.toml", "--plugin", "x.features"]),
        expected
    );
    pin(&digest.replace(|_: char| true, "0"));
    let run = flowloom()
        .folder(folder.path())
        .arg("meter")
        .arg(captures().join("tls13.pcap"))
        .args(["--policy", "policy.toml", "--plugin", "x.features"])
        .run()
        .exits(1);
    assert!(
        run.stderr
            .contains(&format!("x.features has SHA-256 {digest}, but only 000")),
        "{run}"
    );
}

#[test]
fn expressions_of_the_command_line_are_one_plugin_with_its_grants() {
    let flows = meter("tls13.pcap")
        .args(["--feature", "let kind = payload[0]"])
        .args(["--feature", "tls = any(kind == 0x16)"])
        .args(["--feature", "n = count()"])
        .jsonl()
        .run()
        .done()
        .flows();
    for flow in flows {
        let values = udps(&flow, "features");
        assert_eq!(values["tls"], true);
        assert_eq!(values["n"], flow["bidirectional_packets"]);
    }
    let run = meter("tls13.pcap")
        .args(["--feature", "n = count()", "--feature", "m = cont()"])
        .run();
    run.refuses_usage(
        "there is no function 'cont'\n --> --feature:2:5\n  |\n2 | m = cont()\n  |     ^^^^ did you mean 'count'?",
    );
}

#[test]
fn a_missing_grant_shows_the_expression_that_needs_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "n = count()\ngets = count(where starts(payload, \"GET \"))\n";
    write(folder.path(), "x.features", text);
    let run = flowloom()
        .folder(folder.path())
        .arg("meter")
        .arg(captures().join("http.pcap"))
        .args(["--plugin", "x.features"])
        .run()
        .exits(1);
    let expected = "flowloom: plugin 'x': requests payload bytes (4), which were not granted\n --> x.features:2:27\n  |\n\
                    2 | gets = count(where starts(payload, \"GET \"))\n  |                           ^^^^^^^ here\n\
                    hint: add --grant x=payload:4\n";
    assert_eq!(run.stderr, expected);
}

#[test]
fn a_component_is_compared_with_its_text() {
    let folder = compiled(SIZES);
    let plugin = |words: &[&str]| {
        flowloom()
            .folder(folder.path())
            .arg("plugin")
            .args(words)
            .run()
    };
    assert_eq!(plugin(&["source", "x.wasm"]).done().stdout, SIZES);
    let same =
        "in language 1 (flowloom plugin source); this Flowloom compiles it to the same bytes\n";
    for file in ["x.wasm", "x.features"] {
        let run = plugin(&["check", file]).done();
        assert!(run.stdout.contains(same), "{run}");
    }
    // A component that computes something else, with the same text.
    let honest = fs::read(folder.path().join("x.wasm")).expect("a component");
    write(folder.path(), "y.features", &SIZES.replace("1000", "2000"));
    plugin(&["compile", "y.features", "-o", "y.wasm"]).done();
    let mut liar = fs::read(folder.path().join("y.wasm")).expect("a component");
    let [text, other] = [&honest, &liar].map(|bytes| {
        let start = bytes.windows(9).position(|it| it == b"{\"languag");
        start.expect("it has a text")..bytes.len()
    });
    assert_eq!(text.len(), other.len());
    liar[other].copy_from_slice(&honest[text]);
    fs::write(folder.path().join("y.wasm"), liar).expect("the folder is writable");
    assert_eq!(plugin(&["source", "y.wasm"]).done().stdout, SIZES);
    let run = plugin(&["check", "y.wasm"]).done();
    let lies = "NOT what its text says: this Flowloom compiles the text to other bytes\n";
    assert!(run.stdout.contains(lies), "{run}");
    let file = crate::guests::plugin("packet_stats");
    let run = plugin(&["source", file.to_str().expect("UTF-8")]).exits(1);
    assert!(run.stderr.contains(" has no text of features\n"), "{run}");
}
