//! The examples of docs/features.md, through the host.

use std::path::Path;

use super::choices::Random;
use super::compare;
use super::packets::{Rates, Traffic};
use super::parse;

/// The features whose values may differ by 1e-12 of their size.
const INEXACT: [&str; 4] = ["pay_entropy", "size_entropy", "skewed", "autocorr"];

/// Returns programs of one feature each: its name, and its text with the statements before it.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/features/examples");
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of the examples") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(path).expect("a text");
        let mut head = String::new();
        for line in text.lines() {
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "" | "about" => {}
                "let" | "runs" => head += &format!("{line}\n"),
                name => examples.push((name.to_owned(), format!("{head}{line}\n"))),
            }
        }
    }
    examples.sort();
    examples
}

/// Packets of some hundred flows, from one packet to about fifty.
fn traffic() -> Traffic {
    let mut random = Random(31);
    let seeds: Vec<u64> = (0..4_000).map(|_| random.next()).collect();
    let rates = Rates {
        flush: 100,
        end: 8,
        slots: vec![3, 0, 1, 2, 90, 5],
        payload: 150,
    };
    Traffic::new(&seeds, &rates)
}

#[test]
fn examples_compute_what_the_interpreter_computes() {
    let traffic = traffic();
    let examples = examples();
    assert_eq!(examples.len(), 31);
    for (name, text) in &examples {
        let program = parse(text).unwrap_or_else(|error| panic!("{error}"));
        let component = program
            .compile()
            .unwrap_or_else(|error| panic!("{text}{error}"));
        let values = compare::run(component, &program, &traffic);
        let values = values.unwrap_or_else(|error| panic!("{text}{error}"));
        let is_exact = !INEXACT.contains(&name.as_str());
        let mut different = Vec::new();
        for (flow, values) in values.iter().enumerate() {
            let expected = compare::expected(&program, &traffic, flow);
            let [value, expected] = [&values[0], &expected[0]];
            assert!(
                compare::are_equal(value, expected, is_exact),
                "{text}flow {flow}: {value:?} instead of {expected:?}\n{}",
                compare::shown(&program, &traffic, flow)
            );
            if !different.contains(expected) {
                different.push(expected.clone());
            }
        }
        assert!(different.len() > 1, "{text}all flows have {different:?}");
    }
}
