//! `flowloom fields`

use clap::{Args, ValueEnum};
use flowloom::decode::Tunnel;
use flowloom::dissect::CONFIDENCES;
use flowloom::fields::{Expiration, FEATURES, PACKET_FIELDS, PROTOCOLS};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::standard;

const EXAMPLES: &str = "\
Examples:
  Read the list in a terminal:
    flowloom fields | less
  Print the names of all flow fields:
    flowloom fields --format json | jq -r '.flow_fields[].name'

Documentation: docs/fields.md";

/// Lists all fields of flows, and all packet fields that plugins may request.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Fields {
    /// Format of the list.
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: ListFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum ListFormat {
    /// Plain text for a terminal.
    Text,
    /// The page docs/fields.md.
    Markdown,
    /// One JSON object.
    Json,
}

/// All fields and numbers, from the places where they are declared.
#[derive(Serialize)]
struct All {
    flow_fields: Vec<Field>,
    packet_fields: Vec<Field>,
    protocols: Vec<Number>,
    expiration_ids: Vec<Number>,
    tunnel_ids: Vec<Number>,
    confidences: Vec<Number>,
}

#[derive(Serialize)]
struct Field {
    name: &'static str,
    #[serde(rename = "type")]
    ty: &'static str,
    unit: &'static str,
    /// When flows have the field. Plugins can always request packet fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<&'static str>,
    /// The required grant. Empty if every plugin may see the field.
    grant: &'static str,
    definition: &'static str,
}

#[derive(Serialize)]
struct Number {
    number: i64,
    name: &'static str,
    meaning: &'static str,
}

impl All {
    fn new() -> Self {
        Self {
            flow_fields: FEATURES
                .iter()
                .map(|field| Field {
                    name: field.name,
                    ty: field.ty.name(),
                    unit: field.unit,
                    present: Some(field.group.when()),
                    grant: field.sensitivity.grant(),
                    definition: field.doc,
                })
                .collect(),
            packet_fields: PACKET_FIELDS
                .iter()
                .map(|field| Field {
                    name: field.name,
                    ty: field.ty.name(),
                    unit: field.unit,
                    present: None,
                    grant: field.sensitivity.grant(),
                    definition: field.doc,
                })
                .collect(),
            protocols: PROTOCOLS
                .iter()
                .map(|protocol| Number {
                    number: protocol.number.into(),
                    name: protocol.name,
                    meaning: protocol.note,
                })
                .collect(),
            expiration_ids: Expiration::ALL
                .into_iter()
                .map(|expiration| Number {
                    number: expiration.id(),
                    name: expiration.name(),
                    meaning: expiration.doc(),
                })
                .collect(),
            tunnel_ids: [Tunnel::None]
                .into_iter()
                .chain(Tunnel::ALL)
                .map(|tunnel| Number {
                    number: tunnel as i64,
                    name: tunnel.name(),
                    meaning: tunnel.doc(),
                })
                .collect(),
            confidences: CONFIDENCES
                .into_iter()
                .map(|confidence| Number {
                    number: confidence.number.into(),
                    name: confidence.name,
                    meaning: confidence.doc,
                })
                .collect(),
        }
    }
}

impl Fields {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let text = match self.format {
            ListFormat::Text => text(&All::new()),
            ListFormat::Markdown => markdown(&All::new()),
            ListFormat::Json => serde_json::to_string_pretty(&All::new())
                .map(|json| json + "\n")
                .map_err(Failure::failed)?,
        };
        standard::print(text)?;
        Ok(Exit::Done)
    }
}

fn text(all: &All) -> String {
    let mut lines = Vec::new();
    for (title, fields) in [
        ("Fields of flows", &all.flow_fields),
        (
            "Fields of packets, which plugins may request",
            &all.packet_fields,
        ),
    ] {
        lines.push(format!("{title}\n"));
        for field in fields {
            let mut head = format!("  {}  {}", field.name, field.ty);
            if !field.unit.is_empty() {
                head += &format!(", {}", field.unit);
            }
            match field.present {
                None | Some("always") => {}
                Some(present) => head += &format!("; present {present}"),
            }
            if !field.grant.is_empty() {
                head += &format!("; plugins need --grant NAME={}", field.grant);
            }
            lines.extend([head, format!("      {}", field.definition)]);
        }
        lines.push(String::new());
    }
    for (title, numbers) in [
        ("protocol", &all.protocols),
        ("expiration_id", &all.expiration_ids),
        ("tunnel_id", &all.tunnel_ids),
        ("application_confidence", &all.confidences),
    ] {
        lines.push(format!("Numbers of {title}\n"));
        lines.extend(numbers.iter().map(
            |Number {
                 number,
                 name,
                 meaning,
             }| {
                format!("  {number:>3}  {name:<12}{meaning}")
                    .trim_end()
                    .to_owned()
            },
        ));
        lines.push(String::new());
    }
    lines.pop();
    lines.join("\n") + "\n"
}

fn markdown(all: &All) -> String {
    let mut out = INTRODUCTION.to_owned();
    out += "\n## Fields of flows\n\n";
    out += "| field | type | unit | present | grant | definition |\n|---|---|---|---|---|---|\n";
    for field in &all.flow_fields {
        let Field {
            name,
            ty,
            unit,
            grant,
            definition,
            ..
        } = field;
        let present = field.present.unwrap_or_default();
        out += &format!("| `{name}` | {ty} | {unit} | {present} | {grant} | {definition} |\n");
    }
    out += OUTPUTS_OF_PLUGINS;
    out += "\n## Fields of packets\n\n";
    out += FIELDS_OF_PACKETS;
    out += "\n| field | type | unit | grant | definition |\n|---|---|---|---|---|\n";
    for Field {
        name,
        ty,
        unit,
        grant,
        definition,
        ..
    } in &all.packet_fields
    {
        out += &format!("| `{name}` | {ty} | {unit} | {grant} | {definition} |\n");
    }
    for (title, introduction, numbers) in [
        ("protocol", PROTOCOL, &all.protocols),
        ("expiration_id", EXPIRATION_ID, &all.expiration_ids),
        ("tunnel_id", TUNNEL_ID, &all.tunnel_ids),
        ("application_confidence", CONFIDENCE, &all.confidences),
    ] {
        out += &format!("\n## Numbers of `{title}`\n\n{introduction}\n");
        out += "| number | name | |\n|---|---|---|\n";
        for Number {
            number,
            name,
            meaning,
        } in numbers
        {
            out += &format!("| {number} | {name} | {meaning} |\n");
        }
    }
    out += VALUES;
    out
}

const INTRODUCTION: &str = "\
# Fields

This page lists all fields of flows, and all packet fields that plugins may request. `flowloom fields --format
markdown` prints it. `flowloom fields` prints the same list for a terminal, and `--format json` for programs.

Names, order and definitions are those of NFStream 6.6.0, unless a definition says otherwise.
[nfstream-differences.md](nfstream-differences.md) lists where values differ. \"Present\" says when flows have the
field. \"Grant\" is the grant that a plugin needs to see the field, as in `--grant NAME=…`. Without an entry, every
plugin may see it, unless its definition says that plugins cannot request it.
";

const OUTPUTS_OF_PLUGINS: &str = "
After these fields follow the outputs of plugins, in the order of the plugins. The columns are named
`udps.<plugin>.<output>` and have the types that the plugin declares. Any value may be null: the plugin returned null,
or could not return a value.
";

const FIELDS_OF_PACKETS: &str = "\
Plugins can request these fields of each packet. If a tunnel was decoded, sizes and ports are those of the innermost
packet; only `raw_size` is the size of the whole frame. Plugins can also request bytes of each packet: of the payload
with `--grant NAME=payload:N`, and from the IP header on with `--grant NAME=bytes:N`, which shows addresses too.

The payload is the captured data after the header of TCP, UDP or ICMP (its first eight bytes). If the captured data
ends in that header, there is no payload, whatever the value of `payload_size`. For packets without `transport_size`,
the payload begins after the IP header and its extensions, although `payload_size` is 0.
";

const PROTOCOL: &str = "\
The number of the protocol after the IP header and its extension headers, as assigned by IANA. Flowloom meters all
numbers. These are the most common ones.
";

const EXPIRATION_ID: &str = "\
The reason why a flow ended.
";

const TUNNEL_ID: &str = "\
The innermost tunnel that contained the packets of a flow. The numbers are those of nDPI, if nDPI has one.
";

const CONFIDENCE: &str = "\
How nDPI found the application of a flow. The numbers and names are those of nDPI 5.0. nDPI 4.2 finds 0, 1, 5, 6 and 7.
";

const VALUES: &str = "
## How values are written

| type | CSV | JSON lines | Arrow and Parquet |
|---|---|---|---|
| boolean | `1`, `0` | `true`, `false` | `bool` |
| u8, u16 | decimal | number | `int32` |
| u32, u64, i64 | decimal | number | `int64` |
| float | the shortest digits that read back to the same value: `0.1`, `74.0`, `1e16`; `NaN`, `inf`, `-inf` | number with the same digits; NaN and infinities are `null` | `float64` |
| time | `2026-11-29T13:05:00.250Z` | string, as in CSV | `timestamp[us, UTC]` |
| text | unchanged, control characters as `\\x1b`; an empty text is `\"\"` | string | `utf8`, unchanged |
| bytes | hexadecimal, `00ff`; no bytes are `\"\"` | hexadecimal string | `binary` |
| list of integers | `[0, 1, -1]` | array | `list<int64>` |
| list of floats | `[0.5, 1.0]` | array, NaN and infinities `null` | `list<float64>` |
| list of texts | JSON, `[\"a\",\"b\"]`; in quotes, as RFC 4180 requires | array of strings | `list<utf8>` |
| JSON | the JSON text on one line | the value itself on one line, not a string | `utf8` |
| null | an empty cell | `null` | null |

- CSV is RFC 4180 in UTF-8 with LF at the end of each line. The first line is the header. Values are quoted only if
  they contain a comma or a quotation mark, or are an empty text. Therefore each line is one flow.
- Integers in Arrow and Parquet are signed, because Spark refuses other integers. MAC addresses, OUIs, and names of
  applications and categories are dictionaries (`dictionary<int32, utf8>`), except in Arrow files.
- CSV and JSON lines contain no control characters (U+0000 to U+001F, U+007F to U+009F) from packets or plugins. CSV has `\\x` and
  two hexadecimal digits instead: `\\x1b` for an escape, `\\x0a` for a line feed. A backslash is not escaped, so a text
  with these four characters looks the same. JSON lines have `\\u001b`, which reads back to the same text.
- `--csv-formulas escape` writes an apostrophe before CSV text that a spreadsheet would run as a formula: its first
  character after blanks is `=`, `+`, `-` or `@`, or the full-width form of one. The default, `keep`, writes the text
  unchanged. Numbers are never changed.
- JSON lines have one object per line. The object `udps` contains one object for each plugin:
  `{\"udps\": {\"slicer\": {\"part\": 1}}}`.
- IP addresses have their canonical form (RFC 5952 for IPv6). MAC addresses have the form `aa:bb:cc:dd:ee:ff`. OUIs
  are the first eight characters of a MAC address.
- Milliseconds count from 1970-01-01 UTC. Times are in UTC.
- Columns of `--columns-to-anonymize` are text, or null: 128 hexadecimal digits of keyed BLAKE2b-512 over the value in
  the form of Python's `str`, as in NFStream. This is the form of the CSV column above, except for floats, which have
  Python's form (`1e+16`, `1e-05`, `nan`).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_command_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fields.md");
        let page = markdown(&All::new());
        if std::env::var_os("FLOWLOOM_BLESS").is_some_and(|bless| bless == "1") {
            std::fs::write(path, &page).unwrap();
        }
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        let differs = page
            .lines()
            .zip(on_disk.lines().chain(std::iter::repeat("")))
            .find(|(printed, there)| printed != there);
        assert!(
            page == on_disk,
            "docs/fields.md is not what `flowloom fields --format markdown` prints; \
             FLOWLOOM_BLESS=1 cargo test writes it. First difference: {differs:#?}"
        );
    }

    #[test]
    fn tables_have_as_many_cells_in_every_row() {
        let page = markdown(&All::new());
        let mut cells = None;
        for line in page.lines() {
            let now = line.starts_with('|').then(|| line.matches('|').count());
            assert!(cells.is_none() || now.is_none() || cells == now, "{line}");
            cells = now;
        }
    }

    #[cfg(feature = "arrow")]
    #[test]
    fn the_table_has_the_types_of_arrow() {
        use flowloom::Type;
        for (ty, shown) in [
            (Type::Boolean, "bool"),
            (Type::U8, "int32"),
            (Type::U16, "int32"),
            (Type::U32, "int64"),
            (Type::U64, "int64"),
            (Type::I64, "int64"),
            (Type::Float, "float64"),
            (Type::Time, "timestamp[us, UTC]"),
            (Type::Text, "utf8"),
            (Type::Bytes, "binary"),
            (Type::Integers, "list<int64>"),
            (Type::Floats, "list<float64>"),
            (Type::Texts, "list<utf8>"),
            (Type::Json, "utf8"),
        ] {
            let arrow = flowloom::columns::arrow_type(ty).to_string();
            let name = match &*arrow {
                "Boolean" => "bool".to_owned(),
                "Timestamp(µs, \"UTC\")" => "timestamp[us, UTC]".to_owned(),
                other => other.to_lowercase().replace('(', "<").replace(')', ">"),
            };
            assert_eq!(name, shown);
            let row = VALUES.lines().find(|line| {
                let first = line.split('|').nth(1).unwrap_or_default();
                first.split(',').any(|word| word.trim() == ty.name())
            });
            let row = row.unwrap_or_else(|| panic!("no row for {}", ty.name()));
            assert!(row.contains(&format!("| `{shown}`")), "{row}");
        }
    }

    #[test]
    fn every_format_names_every_field() {
        let all = All::new();
        let json = serde_json::to_string(&all).unwrap();
        for listed in [text(&all), markdown(&all), json] {
            for name in FEATURES
                .iter()
                .map(|field| field.name)
                .chain(PACKET_FIELDS.iter().map(|field| field.name))
            {
                assert!(listed.contains(name), "{name}");
            }
        }
    }
}
