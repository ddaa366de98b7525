//! Names and words of other programs, and what is written here instead.

mod tables;

use self::tables::{ABSENT, FUNCTIONS, KEYWORDS, NAMES, WORDS};
use super::names::{flow_names, form, packet_names};
use super::types::{Kind, Type};

/// Returns the label that helps with an unknown name.
pub(super) fn foreign_name(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    for (program, names) in NAMES {
        if let Some((_, here)) = names.iter().find(|(other, _)| *other == lower) {
            return Some(match (*program, is_name(here)) {
                ("", _) => written(here),
                (program, true) => format!("{program}'s name: here it is {here}{}", example(here)),
                (program, false) => format!("{program}'s name: write {here}"),
            });
        }
    }
    if let Some((_, reason)) = ABSENT.iter().find(|(start, _)| lower.starts_with(start)) {
        return Some((*reason).to_owned());
    }
    // A field of a packet or a flow, with its owner before it or in capitals.
    let last = lower.rsplit('.').next().unwrap_or(&lower);
    let joined = lower.replace('.', "_");
    let known = |wanted: &str| {
        packet_names()
            .chain(flow_names())
            .find(|known| *known == wanted)
    };
    known(last).or_else(|| known(&joined)).map(written)
}

/// Returns the label that helps with an unknown function.
pub(super) fn foreign_function(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let (of, last) = match lower.rsplit_once('.') {
        Some((of, last)) => (Some(of), last),
        None => (None, lower.as_str()),
    };
    let known = FUNCTIONS.iter().find(|(other, _)| *other == last);
    let here = known
        .map(|(_, here)| *here)
        .or_else(|| form(last).map(|_| last))?;
    let is_value = |of: &str| packet_names().chain(flow_names()).any(|known| known == of);
    // The value may stand before the function.
    let value = of.map(|of| of.rsplit('.').next().unwrap_or(of));
    Some(
        match value.filter(|value| is_value(value) && is_name(here)) {
            Some(value) => format!("write {here}({value})"),
            None => written(here),
        },
    )
}

/// Returns the label that helps with a word between expressions.
pub(super) fn foreign_word(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    if word != lower && KEYWORDS.contains(&lower.as_str()) {
        return Some(format!("write {lower}"));
    }
    let known = WORDS.iter().find(|(other, _)| *other == lower);
    known.map(|(_, label)| (*label).to_owned())
}

/// Returns everything that is written instead of something else.
#[cfg(test)]
pub(super) fn expressions() -> impl Iterator<Item = String> {
    let names = NAMES.iter().flat_map(|(_, names)| names.iter());
    let functions = FUNCTIONS.iter().filter_map(|(_, here)| match form(here) {
        Some(_) => None,
        None => Some((*here).to_owned()),
    });
    names.map(|(_, here)| (*here).to_owned()).chain(functions)
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns a label with what is written here.
fn written(here: &str) -> String {
    match is_name(here) {
        true => format!("it is called {here} here{}", example(here)),
        false => format!("write {here}"),
    }
}

/// Returns how a flag is used.
fn example(here: &str) -> String {
    match Type::of_packet_field(here).map(|(_, ty)| ty.kind) {
        Some(Kind::Boolean) => format!(", as in count({here})"),
        _ => String::new(),
    }
}
