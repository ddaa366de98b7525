//! From text to tokens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ast::{Literal, Network, Number};
use crate::diagnostic::{Diagnostic, Span};

/// The maximum length of an expression in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Units of counts. Those of bytes and packets are the same.
const MULTIPLES: [(&str, i64); 8] = [
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

/// Units of time, in nanoseconds.
const TIMES: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Symbols, longer ones first.
const SYMBOLS: [&str; 23] = [
    "==", "!=", "<=", ">=", "&&", "||", "..", "=", "<", ">", "~", "(", ")", "{", "}", ",", "+",
    "-", "*", "/", "!", "[", "]",
];

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
    End,
}

/// Splits a text into tokens with their places. The last one is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Diagnostic> {
    if text.len() > MAX_BYTES {
        let message = format!("the expression has {} bytes", text.len());
        let label = format!("at most {MAX_BYTES} bytes are accepted");
        return Err(Diagnostic::new(0..0, message, label));
    }
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_spaces();
        let start = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        tokens.push((token, start..lexer.at));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// The offset of the next character.
    at: usize,
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

impl<'a> Lexer<'a> {
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
        self.take(char::is_whitespace);
    }

    fn token(&mut self) -> Result<Token, Diagnostic> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if let Some(address) = self.address()? {
            return Ok(Token::Literal(address));
        }
        match first {
            '"' | '\'' => Ok(Token::Literal(Literal::Text(self.quoted(first)?))),
            '0'..='9' => self.number().map(Token::Literal),
            c if is_name_start(c) => self.word(),
            _ => self.symbol(first),
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token, Diagnostic> {
        match SYMBOLS
            .into_iter()
            .find(|symbol| self.rest().starts_with(symbol))
        {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err(Diagnostic::new(
                self.at..self.at + first.len_utf8(),
                format!("'{}' has no meaning here", first.escape_debug()),
                "put text into quotation marks",
            )),
        }
    }

    /// Reads an IP address, a network or a MAC address, if there is one.
    fn address(&mut self) -> Result<Option<Literal>, Diagnostic> {
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let mut text = &rest[..len];
        // The dots of a range are not part of an address.
        if let Some(dots) = text.find("..") {
            text = &text[..dots];
        }
        let follows_name =
            |end: usize| rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if follows_name(text.len()) {
            return Ok(None);
        }
        let groups: Vec<_> = text.split(':').collect();
        if groups.len() == 6 && groups.iter().all(|group| group.len() == 2) {
            self.at += text.len();
            return Ok(Some(Literal::Text(text.to_ascii_lowercase())));
        }
        let address: IpAddr = match text.parse::<Ipv4Addr>() {
            Ok(address) => address.into(),
            // Two hexadecimal numbers with one colon are not an address.
            Err(_) if groups.len() > 2 => match text.parse::<Ipv6Addr>() {
                Ok(address) => address.into(),
                Err(_) => return Ok(None),
            },
            Err(_) => return Ok(None),
        };
        let start = self.at;
        self.at += text.len();
        if !self.rest().starts_with('/') {
            return Ok(Some(Literal::Address(address)));
        }
        self.at += 1;
        let bits = self.take(|c| c.is_ascii_digit());
        match bits
            .parse()
            .ok()
            .and_then(|bits| Network::new(address, bits))
        {
            Some(network) => Ok(Some(Literal::Network(network))),
            None => Err(Diagnostic::new(
                start..self.at,
                "the network has no valid number of bits",
                match address {
                    IpAddr::V4(_) => "0 to 32 bits are accepted, as in 10.0.0.0/8",
                    IpAddr::V6(_) => "0 to 128 bits are accepted, as in 2001:db8::/32",
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
                    // Patterns need a backslash before a star.
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(Diagnostic::new(
            start..self.text.len(),
            "the text does not end",
            format!("add {quote} at its end"),
        ))
    }

    fn number(&mut self) -> Result<Literal, Diagnostic> {
        let start = self.at;
        if self.rest().starts_with("0x") {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            return match i64::from_str_radix(digits, 16) {
                Ok(value) => Ok(Literal::Number(Number::Integer(value))),
                Err(_) => Err(self.bad_number(start)),
            };
        }
        self.take(|c| c.is_ascii_digit() || c == '_');
        let mut is_float = false;
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            is_float = true;
            self.at += 1;
            self.take(|c| c.is_ascii_digit() || c == '_');
        }
        // An exponent needs digits; otherwise `e` begins a unit.
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                is_float = true;
                self.at += 1 + exponent.len() - digits.len();
                self.take(|c| c.is_ascii_digit());
            }
        }
        let digits = self.text[start..self.at].replace('_', "");
        let number = match is_float {
            true => digits.parse().map(Number::Float).ok(),
            false => digits.parse().map(Number::Integer).ok(),
        };
        let number = number.ok_or_else(|| self.bad_number(start))?;
        let unit_start = self.at;
        let unit = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
        if unit.is_empty() {
            return Ok(Literal::Number(number));
        }
        if let Some((_, ns)) = TIMES.into_iter().find(|(name, _)| *name == unit) {
            return Ok(Literal::Time(number, ns));
        }
        if let Some((_, factor)) = MULTIPLES.into_iter().find(|(name, _)| *name == unit) {
            let product = match number {
                Number::Integer(number) => number.checked_mul(factor).map(Number::Integer),
                Number::Float(number) => Some(Number::Float(number * factor as f64)),
            };
            return product
                .map(Literal::Number)
                .ok_or_else(|| self.bad_number(start));
        }
        Err(Diagnostic::new(
            unit_start..self.at,
            format!("'{unit}' is no unit"),
            match unit {
                "m" => "write min for minutes, M for millions",
                _ => "k, M, G, T, Ki, Mi, Gi, Ti for counts; ns, us, ms, s, min, h, d for times",
            },
        ))
    }

    fn bad_number(&self, start: usize) -> Diagnostic {
        Diagnostic::new(
            start..self.at,
            "the number cannot be represented",
            "whole numbers from 0 to 9223372036854775807 are accepted",
        )
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
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
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
        if !self.rest().starts_with(':') {
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
