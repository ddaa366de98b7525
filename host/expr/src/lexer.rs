//! From text to tokens, for filters and for features.

mod address;
mod number;

use crate::ast::Literal;
use crate::diagnostic::{Diagnostic, Span};

/// The maximum length of an expression in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The symbols of filters, longer ones first.
const SYMBOLS: [&str; 23] = [
    "==", "!=", "<=", ">=", "&&", "||", "..", "=", "<", ">", "~", "(", ")", "{", "}", ",", "+",
    "-", "*", "/", "!", "[", "]",
];

/// The symbols of features, longer ones first.
const FEATURE_SYMBOLS: [&str; 28] = [
    "==", "!=", "<=", ">=", "&&", "||", "..", "??", "//", "=", "<", ">", "(", ")", "{", "}", ",",
    "+", "-", "*", "/", "!", "[", "]", "%", "&", "|", ":",
];

/// The language that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// One condition. It has addresses, shorthands, and names of plugins with a minus.
    Filter,
    /// Lines with comments.
    Features,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name or a word of the language.
    Name(String),
    Literal(Literal),
    /// A word with a pattern.
    Shorthand {
        key: String,
        pattern: String,
    },
    Symbol(&'static str),
    /// The text behind `#`. Only features have comments.
    Comment(String),
    /// The end of a line of features.
    Newline,
    /// A place that is no token. It is reported apart.
    Invalid,
    End,
}

/// Splits a condition into tokens with their places. The last one is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Diagnostic> {
    check_length("expression", text)?;
    let mut lexer = Lexer::new(text, Dialect::Filter);
    let mut tokens = Vec::new();
    loop {
        let (token, span) = lexer.next();
        let is_end = token == Ok(Token::End);
        tokens.push((token?, span));
        if is_end {
            return Ok(tokens);
        }
    }
}

/// Splits lines of features into tokens with their places. The last one is [`Token::End`]. Each place that is no
/// token becomes [`Token::Invalid`], which stands for the rest of its line.
pub(crate) fn feature_tokens(text: &str) -> (Vec<(Token, Span)>, Vec<Diagnostic>) {
    if let Err(too_long) = check_length("text", text) {
        return (vec![(Token::End, 0..0)], vec![too_long]);
    }
    let mut lexer = Lexer::new(text, Dialect::Features);
    let (mut tokens, mut errors) = (Vec::new(), Vec::new());
    loop {
        let (token, span) = lexer.next();
        match token {
            Ok(token) => {
                let is_end = token == Token::End;
                tokens.push((token, span));
                if is_end {
                    return (tokens, errors);
                }
            }
            Err(error) => {
                errors.push(error);
                lexer.take(|c| c != '\n');
                tokens.push((Token::Invalid, span));
            }
        }
    }
}

fn check_length(what: &str, text: &str) -> Result<(), Diagnostic> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("the {what} has {} bytes", text.len());
    let label = format!("at most {MAX_BYTES} bytes are accepted");
    Err(Diagnostic::new(0..0, message, label))
}

struct Lexer<'a> {
    text: &'a str,
    /// The offset of the next character.
    at: usize,
    dialect: Dialect,
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            text,
            at: 0,
            dialect,
        }
    }

    /// Reads the next token.
    fn next(&mut self) -> (Result<Token, Diagnostic>, Span) {
        self.skip_spaces();
        let start = self.at;
        let token = self.token();
        (token, start..self.at)
    }

    fn is_filter(&self) -> bool {
        self.dialect == Dialect::Filter
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes characters while they satisfy `wanted`.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn skip_spaces(&mut self) {
        let is_filter = self.is_filter();
        self.take(|c| c.is_whitespace() && (is_filter || c != '\n'));
    }

    fn token(&mut self) -> Result<Token, Diagnostic> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if self.is_filter()
            && let Some(address) = self.address()?
        {
            return Ok(Token::Literal(address));
        }
        match first {
            '\n' if !self.is_filter() => {
                self.at += 1;
                Ok(Token::Newline)
            }
            '#' if !self.is_filter() => {
                self.at += 1;
                let text = self.take(|c| c != '\n').trim().to_owned();
                Ok(Token::Comment(text))
            }
            '"' | '\'' => Ok(Token::Literal(Literal::Text(self.quoted(first)?))),
            '0'..='9' => self.number().map(Token::Literal),
            c if is_name_start(c) => self.word(),
            _ => self.symbol(first),
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token, Diagnostic> {
        let symbols = match self.dialect {
            Dialect::Filter => &SYMBOLS[..],
            Dialect::Features => &FEATURE_SYMBOLS,
        };
        match symbols
            .iter()
            .find(|symbol| self.rest().starts_with(**symbol))
        {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err(Diagnostic::new(
                self.at..self.at + first.len_utf8(),
                format!("'{}' has no meaning here", first.escape_debug()),
                match first {
                    _ if self.is_filter() => "put text into quotation marks",
                    '^' => "write X * X for a square",
                    '?' => "write if(CONDITION, X, Y)",
                    '~' => "write contains, or starts(payload, \"GET\")",
                    ';' => "remove it; a statement ends with its line",
                    _ => "put text into quotation marks",
                },
            )),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Diagnostic> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((offset, c)) = characters.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    Some((_, 'r')) if !self.is_filter() => text.push('\r'),
                    Some((_, '0')) if !self.is_filter() => text.push('\0'),
                    Some((at, c)) if !self.is_filter() => {
                        let place = self.at + at - 1..self.at + at + c.len_utf8();
                        return Err(Diagnostic::new(
                            place,
                            "the text has an unknown escape",
                            "\\n, \\r, \\t, \\0, \\\\ and \\\" are accepted; other bytes are written as x\"0d0a\"",
                        ));
                    }
                    // Patterns need a backslash before a star.
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                '\n' if !self.is_filter() => break,
                c => text.push(c),
            }
        }
        let end = match self.is_filter() {
            true => self.text.len(),
            false => {
                start
                    + self.text[start..]
                        .find('\n')
                        .unwrap_or(self.text.len() - start)
            }
        };
        Err(Diagnostic::new(
            start..end,
            "the text does not end",
            format!("add {quote} at its end"),
        ))
    }

    /// Reads a name, a shorthand such as `sni:*.example.com`, or bytes such as `x"0a"`.
    fn word(&mut self) -> Result<Token, Diagnostic> {
        let start = self.at;
        if let Some(quote) = ["x\"", "x'"]
            .into_iter()
            .find(|start| self.rest().starts_with(start))
        {
            self.at += 1;
            let digits = self.quoted(if quote == "x'" { '\'' } else { '"' })?;
            return match bytes(&digits) {
                Some(bytes) => Ok(Token::Literal(Literal::Bytes(bytes))),
                None => Err(Diagnostic::new(
                    start..self.at,
                    "these are no bytes",
                    "give pairs of hexadecimal digits, as in x\"16030f\"",
                )),
            };
        }
        let is_filter = self.is_filter();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == '-' && is_filter);
        loop {
            self.take(is_name);
            // A dot belongs to the name if a name follows. Two dots are those of a range.
            let mut after = self.rest().chars();
            match (after.next(), after.next()) {
                (Some('.'), Some(c)) if is_name(c) => self.at += 1,
                _ => break,
            }
        }
        let mut name = &self.text[start..self.at];
        // A minus at the end, or before a number or a name of a core column, would be odd in a name; only the
        // names of plugins have one.
        if !name.starts_with("udps.")
            && let Some(minus) = name.find('-')
        {
            name = &name[..minus];
            self.at = start + minus;
        }
        let name = name.to_owned();
        if !is_filter || !self.rest().starts_with(':') {
            return Ok(Token::Name(name));
        }
        self.at += 1;
        let pattern = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self
                .take(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '{' | '}'))
                .to_owned(),
        };
        match pattern.is_empty() {
            false => Ok(Token::Shorthand { key: name, pattern }),
            true => Err(Diagnostic::new(
                start..self.at,
                format!("nothing follows '{name}:'"),
                "give a pattern, as in sni:*.example.com",
            )),
        }
    }
}

/// Returns the bytes of pairs of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
