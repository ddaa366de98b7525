//! From tokens to statements: where each of them ends.

use crate::diagnostic::Span;
use crate::lexer::Token;

/// Words that continue the line before.
const CONTINUING: [&str; 9] = [
    "and", "or", "not", "in", "contains", "where", "per", "break", "drop",
];

/// The tokens of one statement. The last one is [`Token::End`].
#[derive(Debug)]
pub(super) struct Line {
    pub(super) tokens: Vec<(Token, Span)>,
    /// The comment on the lines of the statement.
    pub(super) comment: String,
}

/// Divides tokens into statements. A statement ends with its line, unless a bracket is open or the next line begins
/// with an operator. Comments without a statement are left out.
pub(super) fn lines(tokens: Vec<(Token, Span)>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut comments: Vec<String> = Vec::new();
    let mut open = 0_usize;
    let continued = continued(&tokens);
    for ((token, span), is_continued) in tokens.iter().zip(continued) {
        let is_end = match token {
            Token::Newline => open == 0 && !is_continued,
            Token::End => true,
            _ => false,
        };
        match token {
            Token::Symbol("(" | "[" | "{") => open += 1,
            Token::Symbol(")" | "]" | "}") => open = open.saturating_sub(1),
            Token::Comment(text) if !line.is_empty() && !text.is_empty() => {
                comments.push(text.clone());
            }
            _ => (),
        }
        if !is_end {
            if !matches!(token, Token::Newline | Token::Comment(_)) {
                line.push((token.clone(), span.clone()));
            }
            continue;
        }
        let comment = std::mem::take(&mut comments).join(" ");
        let mut tokens = std::mem::take(&mut line);
        open = 0;
        if let Some((_, last)) = tokens.last() {
            let end = last.end..last.end;
            tokens.push((Token::End, end));
            lines.push(Line { tokens, comment });
        }
    }
    lines
}

/// Returns for each token whether the statement goes on behind it. Comments and ends of lines do not count.
fn continued(tokens: &[(Token, Span)]) -> Vec<bool> {
    let mut continued = vec![false; tokens.len()];
    let mut is_continued = false;
    for (at, (token, _)) in tokens.iter().enumerate().rev() {
        continued[at] = is_continued;
        if !matches!(token, Token::Newline | Token::Comment(_)) {
            is_continued = continues(token);
        }
    }
    continued
}

/// Returns whether a token at the start of a line continues the line before.
fn continues(token: &Token) -> bool {
    match token {
        Token::Symbol(symbol) => !matches!(*symbol, "(" | "[" | "{" | "!" | ":"),
        Token::Name(name) => CONTINUING.contains(&name.as_str()),
        _ => false,
    }
}
