//! Suggestions for misspelt names.

/// Returns the name that is most similar to a wrong name. Returns `None` if the edit distance is more
/// than a third of the length of that name.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .min()
        .filter(|&(distance, name)| distance <= name.len() / 3)
        .map(|(_, name)| name)
}

/// Returns the Levenshtein distance: the number of bytes to insert, remove or change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Joins names for a sentence: "`a`, `b` or `c`".
pub(crate) fn either(names: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_found() {
        let names = ["ip_size", "src_port", "dst_port", "update", "expire"];
        assert_eq!(nearest("ip_sise", names), Some("ip_size"));
        assert_eq!(nearest("srcport", names), Some("src_port"));
        assert_eq!(nearest("udpate", names), Some("update"));
        assert_eq!(nearest("expired", names), Some("expire"));
        assert_eq!(nearest("entropy", names), None);
    }

    #[test]
    fn names_are_joined() {
        assert_eq!(either(&["u8"]), "`u8`");
        assert_eq!(either(&["u8", "u16", "f64"]), "`u8`, `u16` or `f64`");
    }
}
