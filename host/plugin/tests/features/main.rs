//! Components that are compiled from features compute what the interpreter computes.
//!
//! Each case is a random program, and random packets of some flows. The host loads the component, and its dispatcher
//! delivers the packets in batches that are cut anywhere. The values of each flow are compared with those of
//! `Program::interpret`: with equal bits, and within 1e-12 for what depends on skewnesses and kurtoses.
//!
//! ```text
//! cargo test -p flowloom-plugin --test features
//! PROPTEST_CASES=10000 cargo test -p flowloom-plugin --test features -- --nocapture
//! ```
//!
//! The second command also prints how many features were made, and how many the checker rejected.

mod aggregates;
mod choices;
mod compare;
mod examples;
mod numbers;
mod packets;
mod program;
mod scalars;
mod term;
mod times;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Mutex;

use flowloom_expr::features::{Limits, Program};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use self::packets::{Rates, Traffic};
use self::program::{Feature, Generator, Names};

/// What a case is made from.
#[derive(Clone)]
struct Case {
    lets: Vec<Vec<u16>>,
    runs: Vec<Vec<u16>>,
    features: Vec<Vec<u16>>,
    has_nulls: bool,
    packets: Vec<u64>,
    rates: Rates,
}

/// The message of a failure has the program and the packets.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements = self.lets.len() + self.runs.len() + self.features.len();
        write!(f, "{statements} statements, {} packets", self.packets.len())
    }
}

fn numbers() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..80)
}

fn case() -> impl Strategy<Value = Case> {
    let packets = prop_oneof![
        6 => prop::collection::vec(any::<u64>(), 1..60),
        3 => prop::collection::vec(any::<u64>(), 1..300),
        1 => prop::collection::vec(any::<u64>(), 1_000..2_500),
    ];
    let slots = prop::sample::select(vec![
        vec![0],
        vec![0, 1],
        vec![3, 0, 1, 2],
        vec![70, 5, 2_000],
        vec![0, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    ]);
    let packets = packets.no_shrink();
    let rates = (
        prop::sample::select(vec![0, 0, 1, 3, 20, 400]),
        prop::sample::select(vec![1_000, 30, 5, 1]),
        slots,
        prop::sample::select(vec![24, 4, 150]),
    )
        .prop_map(|(flush, end, slots, payload)| Rates {
            flush,
            end,
            slots,
            payload,
        });
    (
        prop::collection::vec(numbers(), 0..4),
        prop::collection::vec(numbers(), 0..3),
        prop::collection::vec(numbers(), 1..7),
        any::<bool>(),
        packets,
        rates,
    )
        .prop_map(|(lets, runs, features, has_nulls, packets, rates)| Case {
            lets,
            runs,
            features,
            has_nulls,
            packets,
            rates,
        })
}

/// How many statements were made, and how many were rejected.
#[derive(Default)]
struct Counts {
    cases: u64,
    features: u64,
    rejected: BTreeMap<String, u64>,
}

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);

fn count(change: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.lock().expect("no thread panics here");
    change(counts.get_or_insert_default());
}

fn parse(text: &str) -> Result<Program, String> {
    let mut limits = Limits::default();
    limits.state_bytes = compare::MAX_STATE_BYTES;
    Program::parse("test", text, &limits).map_err(|error| error.to_string())
}

/// Adds a statement to a text if the checker accepts it.
fn accepted(head: &str, statement: &str) -> bool {
    match parse(&format!("{head}{statement}\nz = count()\n")) {
        Ok(_) => true,
        Err(error) => {
            reject(&error);
            false
        }
    }
}

fn reject(error: &str) {
    let first = error.lines().next().unwrap_or_default().to_owned();
    if std::env::var_os("FEATURES_REJECTED").is_some() {
        eprintln!("{error}");
    }
    count(|counts| *counts.rejected.entry(first).or_default() += 1);
}

/// Returns the text of a case, with the features that the compiler has.
fn text(case: &Case) -> Result<(String, Vec<Feature>), TestCaseError> {
    let mut head = if case.has_nulls {
        "nulls 0\n".to_owned()
    } else {
        String::new()
    };
    let mut names = Names::default();
    for numbers in &case.lets {
        let (statement, binding) = Generator::new(numbers, &names).binding();
        if accepted(&head, &statement) {
            head += &format!("{statement}\n");
            names.lets.push(binding);
        }
    }
    for numbers in &case.runs {
        let (statement, name) = Generator::new(numbers, &names).runs();
        if accepted(&head, &statement) {
            head += &format!("{statement}\n");
            names.runs.push(name);
        }
    }
    let mut features = Vec::new();
    for numbers in &case.features {
        let feature = Generator::new(numbers, &names).feature(&format!("f{}", features.len()));
        count(|counts| counts.features += 1);
        let all = format!("{head}{}\n", feature.text);
        let program = match parse(&all) {
            Ok(program) => program,
            Err(error) => {
                reject(&error);
                continue;
            }
        };
        compile(&all, &program)?;
        head = all;
        features.push(feature);
    }
    Ok((head, features))
}

/// Compiles a program. A panic or an error fails with its text.
fn compile(text: &str, program: &Program) -> Result<Vec<u8>, TestCaseError> {
    match std::panic::catch_unwind(|| program.compile()) {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(TestCaseError::fail(format!("{text}{error}"))),
        Err(_) => Err(TestCaseError::fail(format!(
            "the compiler panics:
{text}"
        ))),
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let (text, features) = text(case)?;
    count(|counts| counts.cases += u64::from(!features.is_empty()));
    // The state of all features together may be too large.
    let Ok(program) = parse(&text) else {
        return Ok(());
    };
    if features.is_empty() {
        return Ok(());
    }
    let component = compile(&text, &program)?;
    let traffic = Traffic::new(&case.packets, &case.rates);
    let values = compare::run(component, &program, &traffic);
    let values = values.map_err(|error| TestCaseError::fail(format!("\n{text}{error}")))?;
    for (flow, values) in values.iter().enumerate() {
        let expected = compare::expected(&program, &traffic, flow);
        let mut message = String::new();
        if values.len() != expected.len() {
            let _ = writeln!(message, "{} values", values.len());
        }
        for ((value, expected), feature) in values.iter().zip(&expected).zip(&features) {
            if !compare::are_equal(value, expected, feature.is_exact) {
                let _ = writeln!(
                    message,
                    "{}\n    component:   {value:?}\n    interpreter: {expected:?}",
                    feature.text
                );
            }
        }
        if !message.is_empty() {
            let packets = compare::shown(&program, &traffic, flow);
            return Err(TestCaseError::fail(format!(
                "\n{text}\n{message}\nflow {flow} of:\n{packets}{:?}",
                traffic.steps
            )));
        }
    }
    Ok(())
}

/// Removes packets from a case that fails, while it fails. Returns its message.
fn with_fewer_packets(mut case: Case) -> String {
    let mut message = String::new();
    let mut part = case.packets.len();
    while part > 0 {
        let mut at = 0;
        while at < case.packets.len() {
            let mut fewer = case.clone();
            fewer.packets.drain(at..case.packets.len().min(at + part));
            match check(&fewer) {
                Err(error) => (case, message) = (fewer, error.to_string()),
                Ok(()) => at += part,
            }
        }
        part /= 2;
    }
    if message.is_empty() {
        message =
            check(&case).map_or_else(|error| error.to_string(), |()| "it passes now".to_owned());
    }
    message
}

fn cases() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

#[test]
fn components_compute_what_the_interpreter_computes() {
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&case(), |case| check(&case));
    let counts = COUNTS
        .lock()
        .expect("no thread panics here")
        .take()
        .unwrap_or_default();
    let rejected: u64 = counts.rejected.values().sum();
    println!(
        "{} programs, {} features, {rejected} statements rejected",
        counts.cases, counts.features
    );
    for (what, number) in &counts.rejected {
        println!("{number:6} {what}");
    }
    match result {
        Ok(()) => {}
        Err(TestError::Fail(_, case)) => panic!("{}", with_fewer_packets(case)),
        Err(error) => panic!("{error}"),
    }
    assert!(
        rejected * 10 < counts.features,
        "{rejected} of {} features are rejected",
        counts.features
    );
}
