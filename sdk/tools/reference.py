#!/usr/bin/env python3
"""Generates docs/plugin-reference.md, the reference for authors of plugins.

Its sources are the contract (wit/), docs/fields.md (which a test compares with the host), the limits in docs/sandbox.md,
the table of fields in the Rust SDK, the errors of the host, and the texts in tests/languages/mistakes/expected. The names in
each SDK are tables below. The script fails if such a name does not occur in the public files of its SDK, and if the host
has an error that the tables do not have. With --check it writes nothing and exits with status 1 if the page is not current.
"""

import re
import sys
from pathlib import Path

from fields import DIRECTIONS, tables

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/plugin-reference.md"
#: The public files of each SDK, which must contain the names of this page.
SDKS = {
    "Rust": ["rust/src/plugin.rs", "rust/src/fields.rs", "rust/src/options.rs", "rust/src/outputs.rs", "rust/src/lib.rs",
             "rust/src/log.rs"],
    "C": ["c/include/flowloom.h"],
    "Zig": ["zig/flowloom.zig"],
    "JavaScript": ["javascript/flowloom/index.d.ts"],
    "Python": ["python/flowloom/plugin.py", "python/flowloom/plugin.pyi", "python/flowloom/options.py",
               "python/flowloom/outputs.py", "python/flowloom/log.py"],
    "Go": ["go/plugin.go", "go/outputs.go", "go/options.go", "go/row.go", "go/level.go", "go/abi.go"],
}
NONE = "–"

#: Functions of a plugin: the signature in wit/feature.wit, when Flowloom calls it, what it receives and what it returns.
EVENTS = {
    "open": (
        "func(options: options, available: available) -> result<manifest, string>",
        "once per instance, before any event",
        "the operator's options, and [what is available](#what-is-available)",
        "the [manifest](#manifest), or a text that rejects the options",
    ),
    "init": (
        "func(flow: u64, packet: packet, values: values) -> verdict",
        "with the first packet of a flow",
        "the [packet fields](#packet-fields), bytes of the packet, the [flow fields](#flow-fields) for `init`",
        "the state of the flow; whether the flow ends, if the plugin cuts flows",
    ),
    "update": (
        "func(flow: u64, packet: packet, values: values) -> verdict",
        "with each later packet of the flow, up to `packets-per-flow`",
        "the state, the same packet fields and bytes, the flow fields for `update`",
        "the changed state; whether the flow ends, if the plugin cuts flows",
    ),
    "expire": (
        "func(flow: u64, values: values) -> list<value>",
        "once per flow, as its last event",
        "the state, the flow fields for `expire`",
        "a value of the declared type for each [output](#output-types), or null",
    ),
    "finish": ("func()", "once per instance, after its last flow", "nothing", "nothing"),
}
EVENT_NAMES = [
    ("`open`", "`open`", "`flowloom_open`", "`open`", "`open`", "`open`", "`Open`"),
    ("after `open`, with what is available", "`adapt`", NONE, NONE, "`adapt`", "`adapt`", NONE),
    ("`init`", "`init`", "`flowloom_init`", "`init`", "`init`", "`init`", "`Init`"),
    ("`update`", "`update`", "`flowloom_update`", "`update`", "`update`", "`update`", "`Update`"),
    ("whether the flow ends", "`cuts`", "`flowloom_cuts`", "`cuts`", "`cuts`", "`cuts`", "`Cuts`"),
    ("`expire`", "`expire`", "`flowloom_expire`", "`expire`", "`expire`", "`expire`", "`Expire`"),
    ("`finish`", "`finish`", "`flowloom_finish`", "`finish`", "`finish`", "`finish`", "`Finish`"),
]

#: The items of the manifest in wit/manifest.wit, with their names in the SDKs.
MANIFEST = {
    "version": ("version of the crate", "`version`", "`version`", "`version`", "`version`", "`Version`"),
    "description": ("`DESCRIPTION`", "`description`", "`description`", "`description`", "`description`", "`Description`"),
    "outputs": ("`Outputs`", "`outputs`, `n_outputs`", "`outputs`, `n_outputs`", "`outputs`", "`outputs`", "`Outputs`"),
    "options": ("`Options`", *["what open reads"] * 5),
    "packet": ("`Packet`", "`packet`", "`packet`", "`packet`", "`packet`", "`Packet`"),
    "payload-bytes": ("`#[payload(64)]`, `payload_bytes`", "`payload_bytes`", "`payload_bytes`", "`payloadBytes`",
                      "`payload_bytes`", "`PayloadBytes`"),
    "packet-bytes": ("`#[bytes(64)]`, `packet_bytes`", "`packet_bytes`", "`packet_bytes`", "`packetBytes`",
                     "`packet_bytes`", "`PacketBytes`"),
    "at-init": ("`AtInit`, `at_init`", "`at_init`", "`at_init`", "`atInit`", "`at_init`", "`AtInit`"),
    "at-update": ("`AtUpdate`, `at_update`", "`at_update`", "`at_update`", "`atUpdate`", "`at_update`", "`AtUpdate`"),
    "at-expire": ("`AtExpire`, `at_expire`", "`at_expire`", "`at_expire`", "`atExpire`", "`at_expire`", "`AtExpire`"),
    "packets-per-flow": ("`packets_per_flow`", "`packets_per_flow`", "`packets_per_flow`", "`packetsPerFlow`",
                         "`packets_per_flow`", "`PacketsPerFlow`"),
    "flow-bytes": ("`state_bytes`", "`allocated_bytes`", "`allocated_bytes`", "`flowBytes`", "`flow_bytes`",
                   "`AllocatedBytes`"),
    "cuts-flows": ("`cuts_flows`", "`cuts_flows`", "`cuts_flows`", "`cutsFlows`", "`cuts_flows`", "`CutsFlows`"),
    "needs-one-meter": ("`needs_one_meter`", "`needs_one_meter`", "`needs_one_meter`", "`needsOneMeter`",
                        "`needs_one_meter`", "`NeedsOneMeter`"),
    "packed": ("set by the SDK",) * 6,
}
AVAILABLE = {
    "packet": ("`packet`", "`packet`", "`packet`", "`packet`", "`packet`", "`Packet`"),
    "flow": ("`flow`", "`flow`", "`flow`", "`flow`", "`flow`", "`Flow`"),
    "payload-bytes": ("`payload_bytes`", "`payload_bytes`", "`payload_bytes`", "`payloadBytes`", "`payload_bytes`",
                      "`PayloadBytes`"),
    "packet-bytes": ("`packet_bytes`", "`packet_bytes`", "`packet_bytes`", "`packetBytes`", "`packet_bytes`",
                     "`PacketBytes`"),
}

#: How a plugin reads the types of fields.
READS = [
    ("boolean", "`bool`", "`flowloom_unsigned`", "`unsigned`", "`boolean`", "`bool`", "`Unsigned`"),
    ("u8, u16, u32, u64", "`u8`, `u16`, `u32`, `u64`", "`flowloom_unsigned`", "`unsigned`", "`number`", "`int`", "`Unsigned`"),
    ("i64", "`i64`", "`flowloom_signed`", "`signed`", "`number`", "`int`", "`Signed`"),
    ("float", "`f64`", "`flowloom_float`", "`float`", "`number`", "`float`", "`Float`"),
    ("text, list of texts", "`&'a str`, `String`", "`flowloom_text`", "`text`", "`string`", "`str`", "`Text`"),
    ("list of integers", "`&'a [i64]`, `Vec<i64>`", "`flowloom_list`", "`list`", "number array", "list of `int`", "`List`"),
    ("payload bytes", "`&'a [u8]`", "`flowloom_payload`", "`payload`", "`payload`", "`payload`", "`Payload`"),
    ("packet bytes", "`&'a [u8]`", "`flowloom_packet_bytes`", "`bytes`", "`bytes`", "`bytes`", "`Bytes`"),
]

#: The types of outputs in wit/manifest.wit.
OUTPUTS = {
    "boolean": ("`bool`", "`FLOWLOOM_BOOLEAN`, `flowloom_set_boolean`", "`.boolean`, `setBoolean`", '`"boolean"`', "`bool`",
                "`Boolean`, `SetBoolean`"),
    "integer": ("`i64`, smaller integers", "`FLOWLOOM_INTEGER`, `flowloom_set_integer`", "`.integer`, `setInteger`",
                '`"integer"`', "`int`", "`Integer`, `SetInteger`"),
    "float": ("`f64`, `f32`", "`FLOWLOOM_FLOAT`, `flowloom_set_float`", "`.float`, `setFloat`", '`"float"`', "`float`",
              "`Float`, `SetFloat`"),
    "text": ("`String`", "`FLOWLOOM_TEXT`, `flowloom_set_text`", "`.text`, `setText`", '`"text"`', "`str`",
             "`Text`, `SetText`"),
    "bytes": ("`Bytes`", "`FLOWLOOM_BYTES`, `flowloom_set_bytes`", "`.bytes`, `setBytes`", '`"bytes"`', "`bytes`",
              "`Bytes`, `SetBytes`"),
    "integers": ("`Vec<i64>`", "`FLOWLOOM_INTEGERS`, `flowloom_set_integers`", "`.integers`, `setIntegers`",
                 '`"integers"`', "`list[int]`", "`Integers`, `SetIntegers`"),
    "floats": ("`Vec<f64>`", "`FLOWLOOM_FLOATS`, `flowloom_set_floats`", "`.floats`, `setFloats`", '`"floats"`',
               "`list[float]`", "`Floats`, `SetFloats`"),
    "texts": ("`Vec<String>`", "`FLOWLOOM_TEXTS`, `flowloom_set_texts`", "`.texts`, `setTexts`", '`"texts"`', "`list[str]`",
              "`Texts`, `SetTexts`"),
    "json": ("`Json`", "`FLOWLOOM_JSON`, `flowloom_set_json`", "`.json`, `setJson`", '`"json"`', "`Json`",
             "`JSON`, `SetJSON`"),
}
OUTPUT_NULL = ("null", "`None`, in an `Option`", "not set", "not set", "`null`, `undefined`", "`None`", "not set")

#: The types of options in wit/manifest.wit.
OPTIONS = {
    "boolean": ("`bool`", "`flowloom_boolean_option`", "`boolean`", "`boolean`", "`boolean`", "`Boolean`"),
    "integer": ("integers, `NonZeroU32`", "`flowloom_integer_option`", "`integer`", "`integer`", "`integer`", "`Integer`"),
    "float": ("`f64`", "`flowloom_float_option`", "`float`", "`number`", "`number`", "`Float`"),
    "text": ("`String`, `OptionValue`", "`flowloom_text_option`", "`text`", "`text`", "`text`", "`Text`"),
}
OPTION_RULES = [
    ("default", "`#[option(default = …)]`", "value before the call", "value before the call", "`default`", "`default`",
     "parameter"),
    ("optional", "`Option`", "text `NULL`", "text `null`", "no `default`", "no `default`", "empty text"),
    ("required", "no default", "`flowloom_require`", "`require`", "`required`", "`required`", "`Require`"),
    ("range", "type", "`least`, `most`", "`least`, `most`", "`least`, `most`", "`least`, `most`", "`least`, `most`"),
]
LOG = [("`info`, `error`, `warn`, `debug`", "`info!`, …", "`flowloom_log`", "`log`", "`log`, `console`", "`log`", "`Log`")]

#: Groups of fields: heading, names. A name with `*` stands for the three directions.
PACKET_GROUPS = [
    ("Time and direction", "time_ns time_ms time_us delta_time_ms direction"),
    ("Sizes", "raw_size ip_size transport_size payload_size"),
    ("Addresses", "src_ip src_mac src_oui dst_ip dst_mac dst_oui src_pseudonym dst_pseudonym"),
    ("Ports and protocols", "src_port dst_port protocol ip_version vlan_id tunnel_id ttl ip_id icmp_type icmp_code"),
    ("TCP", "tcp_flags syn cwr ece urg ack psh rst fin tcp_window tcp_seq tcp_ack"),
]
FLOW_GROUPS = [
    ("Identity and end", "id capture expiration_id"),
    ("Addresses, ports and protocols",
     "src_ip src_ip_is_private src_mac src_oui src_port dst_ip dst_ip_is_private dst_mac dst_oui dst_port protocol "
     "ip_version vlan_id tunnel_id"),
    ("Times and counters", "*first_seen_ms *last_seen_ms *duration_ms *packets *bytes"),
    ("Statistics",
     "*min_ps *mean_ps *stddev_ps *max_ps *min_piat_ms *mean_piat_ms *stddev_piat_ms *max_piat_ms *syn_packets "
     "*cwr_packets *ece_packets *urg_packets *ack_packets *psh_packets *rst_packets *fin_packets"),
    ("SPLT", "splt_direction splt_ps splt_piat_ms"),
    ("Application",
     "application_name application_category_name application_is_guessed application_confidence requested_server_name "
     "client_fingerprint server_fingerprint user_agent content_type client_ja4 tcp_fingerprint application_domain "
     "application_stack application_risks application_risk_score"),
]
#: Types of docs/fields.md, by those of the Rust SDK.
TYPES = {"bool": "boolean", "Direction": "u8", "&str": "text", "f64": "float", "&[i64]": "list of integers"}

#: Limits in docs/sandbox.md that an author meets.
LIMITS = [
    "CPU time of a call",
    "CPU time of opening",
    "CPU time per event, in the long run",
    "memory, tables, and host memory for an instance",
    "stack",
    "flows held",
    "events; packet bytes in a call",
    "bytes of an answer",
    "bytes of the values of a flow",
    "outputs; described options",
    "version; a description, or the default of an option",
    "log",
    "size of a plugin's file",
    "compile time; compile memory",
    "size of a file that an option names (`key=@FILE`)",
]

#: Reasons why Flowloom does not load a plugin (LoadErrorKind of the host): cause, and correction.
LOAD_ERRORS = {
    "The file": {
        "NotAComponent": ("The file is a core module, or is not WebAssembly.",
                          "Build with `flowloom plugin build`, or convert the module with `flowloom plugin componentize`."),
        "DoesNotCompile": ("The component is not valid, or exceeds a limit of the compiler.",
                           "Build again. The reason names the limit."),
        "TooLarge": ("The file is too large.", "Remove debug information and unused dependencies."),
        "OtherVersion": ("The plugin was built for another contract.",
                         "Build with the SDK of this Flowloom: remove the folder `flowloom-sdk`, and build."),
        "UnknownImport": ("The component imports a function that Flowloom does not provide.",
                          "Remove the dependency that imports it."),
        "NoExports": ("The component has no plugin.",
                      "Export the plugin, as the README of the SDK shows."),
        "OtherTypes": ("The component was built from other `.wit` files.", "Build with the SDK of this Flowloom."),
    },
    "The manifest": {
        "UnknownField": ("The name of a field is misspelt, or only a newer Flowloom has the field.",
                         "Use a name from this page. In Rust, `#[newer]` requests a field that the SDK does not know."),
        "FieldFollowsEnd": ("The field has no value before the flow ends.", "Do not request it."),
        "FieldTwice": ("A list has a name twice.", "Remove one."),
        "TooManyBytes": ("The number of payload bytes or packet bytes is too large.", "Request at most this number."),
        "TooManyOutputs": ("There are too many outputs.", "Return lists or JSON."),
        "BadOutputName": ("The name of an output is not valid.", "Use lower-case letters, digits and `_`."),
        "OutputTwice": ("Two outputs have one name.", "Rename one."),
        "TooManyOptions": ("There are too many options.", "Pass a text or a file: `key=@FILE`."),
        "BadOptionName": ("The name of an option is not valid.", "Use lower-case letters, digits and `_`."),
        "OptionTwice": ("Two options have one name.", "Rename one."),
        "TextTooLong": ("The version, a description or a default is too long.", "Write one sentence."),
        "NoPackets": ("`packets-per-flow` is 0.", "Declare at least 1, or no limit."),
        "CannotCut": ("A component without the interface `feature` cuts flows.", "Build with an SDK, which exports it."),
        "OtherManifest": ("The manifest depends on something other than options and available fields.",
                          "Do not use state, random numbers or time in `open`."),
    },
    "Function `open`": {
        "OpenTrapped": ("`open` trapped, or exceeded a limit.",
                        "The line in the log before it has the text and the place."),
        "RejectedOptions": ("`open` returned an error. [Checks of the SDKs](#checks-of-the-sdks) lists those of the SDKs.",
                            "Correct the options, or the manifest."),
    },
    "Grants and the run": {
        "NotGranted": ("The plugin requests data that needs a grant.", "Run with the grant, or do not request the data."),
        "ConflictingRequests": ("The plugin requests pseudonyms, and addresses or packet bytes.",
                                "Request one of the two."),
        "RevealedPseudonyms": ("The operator granted pseudonyms, and addresses or packet bytes.", "Grant one of the two."),
        "FieldAbsent": ("The run does not have the field.",
                        "Run with the option that adds it, or request the field only if it is "
                        "[available](#what-is-available)."),
        "NeedsOneMeter": ("The plugin sets `needs-one-meter`.", "Run with `--n-meters 1`."),
        "OtherColumns": ("The new version of the plugin has other outputs.", "Write JSON lines, or start a new run."),
    },
}
#: Reasons that concern operators, or files of features, only.
OPERATOR_ERRORS = {"Unreadable", "NotAFile", "Link", "NoStore", "Several", "NameTaken", "OtherFile", "Unlisted", "NotPinned",
                   "NotLoaded", "BadName", "BadFeatures", "NotText"}

#: Reasons why Flowloom stops an instance (Trap of the host).
TRAPS = {
    "Deadline": ("A call took too much CPU time: an endless loop, or work that grows with the number of flows.",
                 "Do less in one call."),
    "TooSlow": ("In a live capture, the plugin was too slow on average.", "Do less per packet. `flowloom plugin bench` measures."),
    "Memory": ("The instance reached its memory limit.",
               "Keep less state per flow, or declare [`flow-bytes`](#manifest), which limits the number of flows."),
}
#: Violations of WebAssembly, with the mistakes whose expected texts have them.
VIOLATIONS = {
    "call stack exhausted": ("rust", "recursion", "A recursion does not end, or is too deep.", "Use a loop."),
    "out of bounds memory access": ("c", "recursion", "In C and Zig: a wrong pointer, or a stack overflow.",
                                    "Test the functions outside of Flowloom, with a sanitizer."),
    "integer divide by zero": ("c", "division", "In C and Zig: a division by zero.", "Check the divisor."),
    "wasm `unreachable` instruction executed": ("c", "trap", "The plugin aborted without a text.",
                                                "Use the function of the SDK that logs an error: see the README."),
}

#: Checks of the SDKs: mistake, languages whose texts are shown (with the mistake, if its name differs), and correction.
CHECKS = {
    "When the plugin is loaded": {
        "unknown_packet_field": ("a misspelt packet field", ["python", "javascript"], "Write the suggested name."),
        "unknown_flow_field": ("a misspelt flow field", ["python"], "Write the suggested name."),
        "flow_field_of_packet": ("a flow field among the packet fields", ["javascript"], "Request it at an event."),
        "misspelt_key": ("a misspelt attribute or key", ["python", "javascript"], "Write the suggested name."),
        "misspelt_type": ("a misspelt type of an output", ["javascript"], "Use a [type of outputs](#output-types)."),
        "output_without_type": ("an output without a type", ["javascript"], "Give type and sentence."),
        "packet_is_text": ("a text in place of a list", ["javascript"], "Write a list."),
        "negative_bytes": ("a number out of range", ["javascript"], "Correct the number."),
        "misspelt_method": ("a misspelt function", ["python", "javascript"], "Write the suggested name."),
        "absent_method": ("a missing function", ["javascript"], "Add the function."),
        "cuts_without_function": ("`cuts-flows` without the function", ["javascript", "go:no_cuts"], "Add the function."),
        "no_manifest": ("`open` returns no manifest", ["javascript"], "Return it."),
        "misspelt_option_setting": ("a misspelt setting of an option", ["javascript"], "Write the suggested name."),
        "option_as_property": ("an option read as a property", ["javascript"], "Read it with a method."),
        "exception_in_open": ("an exception in `open`", ["python"], "Raise or return an option error for wrong options."),
    },
    "At an event": {
        "undeclared_packet_field": ("reading a packet field that was not requested", ["python", "c"], "Request it."),
        "undeclared_flow_field": ("reading a flow field that was not requested for the event", ["python", "c"],
                                  "Request it for the event."),
        "undeclared_payload": ("reading bytes that were not requested", ["javascript"], "Set the number of bytes."),
        "misspelt_packet_field": ("reading a misspelt field", ["javascript"], "Write the suggested name."),
        "wrong_type_of_field": ("reading a field as another type", ["c"], "Use the function for [its type](#types-of-fields)."),
        "exception_in_update": ("an exception or a panic", ["python", "rust"], "Correct the line that the text names."),
        "recursion": ("a recursion without end", ["python"], "Use a loop."),
        "allocation": ("too much memory", ["python"], "Keep less state per flow."),
        "clock": ("reading the clock", ["javascript"], "Use packet time: `time_ns`."),
        "file": ("opening a file", ["go"], "Pass its text as an option: `key=@FILE`."),
        "exit": ("ending the process", ["c"], "Log an error, and end the instance."),
    },
    "Values of outputs": {
        "wrong_type_text": ("a value of another type", ["python", "c"], "Convert it, or declare another type."),
        "wrong_type_float": ("a float for an integer", ["python"], "Round it, or declare a float."),
        "not_a_number": ("NaN for an integer", ["python"], "Return null."),
        "too_large": ("an integer that does not fit", ["python", "javascript"], "Return a text or a float."),
        "object_for_json": ("an object in place of JSON text", ["javascript"], "Return the text."),
        "unknown_output": ("an output that is not declared", ["python", "c"], "Declare it."),
        "set_twice": ("an output that is set twice", ["c"], "Set it once."),
        "no_values": ("no answer", ["javascript"], "Return an object."),
        "list_of_values": ("a list in place of an object", ["javascript"], "Return an object."),
    },
}
#: The errors for wrong options, which all SDKs share, with a part of the source of the Python SDK.
OPTION_ERRORS = [
    ("unknown option `KEY`; this plugin accepts …", "unknown option `{key}`; ", "`open` does not read the option."),
    ("option `KEY` must be …, not \"VALUE\"", "option `{key}` must be {", "The value is not accepted."),
    ("option `KEY` is missing; this plugin accepts …", "option `{key}` is missing; ", "The option is required."),
    ("option `KEY` is given twice", "option `{key}` is given twice", "The operator gave it twice."),
]


class Stale(Exception):
    """A table of this script does not fit its source."""


def read(path):
    return (ROOT / path).read_text()


def need(condition, message):
    if not condition:
        raise Stale(message)


def search(pattern, text, what):
    found = re.search(pattern, text, re.S | re.M)
    need(found, f"{what} was not found")
    return found


def table(header, rows):
    """Returns a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def code(text):
    """Returns inline code, which may contain backticks and pipes."""
    text = text.replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


# Names of the SDKs.

def check_names(rows, what):
    """Checks that the code in each column occurs in the public files of its SDK."""
    for language, cells in zip(SDKS, zip(*rows)):
        source = "\n".join(read(f"sdk/{path}") for path in SDKS[language])
        for cell in cells:
            for span in re.findall(r"`([^`]+)`", cell):
                for name in re.findall(r"[A-Za-z_]\w*", span):
                    need(re.search(rf"\b{name}\b", source), f"{what}: the {language} SDK has no `{name}` (`{span}`)")


def names(header, rows):
    """Returns a table with a column for each SDK."""
    check_names([row[1:] for row in rows], header)
    columns = [[language, *cells] for language, cells in zip(SDKS, zip(*(row[1:] for row in rows)))]
    # Neighbours with the same names share a column.
    merged = []
    for column in columns:
        if merged and merged[-1][1:] == column[1:]:
            merged[-1][0] += f", {column[0]}"
        else:
            merged.append(column)
    first = [header, *(row[0] for row in rows)]
    header, *rows = zip(first, *merged)
    return table(header, rows)


# The contract.

def wit(file, kind, name):
    """Returns the members of a type of the contract, with their types and comments."""
    body = search(rf"^  {kind} {name} \{{\n(.*?)^  \}}", read(f"wit/{file}.wit"), f"{kind} {name} of wit/{file}.wit")[1]
    members, comment = {}, []
    for line in body.splitlines():
        line = line.strip()
        if line.startswith("///"):
            comment.append(line[3:].strip())
        elif line:
            member, _, type = line.rstrip(",").partition(": ")
            members[member], comment = (type, " ".join(comment)), []
    return members


def same(found, wanted, what):
    need(set(found) == set(wanted), f"{what}: this script and its source differ in {sorted(set(found) ^ set(wanted))}")


def events():
    source = read("wit/feature.wit")
    found = dict(re.findall(r"^  ([a-z]+): (func.*);$", source, re.M))
    same(found, EVENTS, "the functions of wit/feature.wit")
    for name, (signature, *_) in EVENTS.items():
        need(found[name] == signature, f"`{name}` of wit/feature.wit is {found[name]}")
    rows = [[f"`{name}`", *cells] for name, (_, *cells) in EVENTS.items()]
    return table(["function", "called", "receives", "returns"], rows)


def signatures():
    """Returns the functions of a plugin as the SDKs declare them."""
    parts = [("Rust", "rust", rust()), ("C", "c", c()), ("Zig", "zig", zig()), ("TypeScript", "ts", typescript()),
             ("Python", "python", python()), ("Go", "go", go())]
    text = ""
    for title, fence, lines in parts:
        need(len(lines) >= 6, f"the functions of a plugin in {title} were not found")
        text += f"**{title}**\n\n```{fence}\n" + "\n".join(lines) + "\n```\n\n"
    return text.rstrip() + "\n"


def rust():
    found = re.findall(r"^    (fn (?:open|adapt|init|update|cuts|expire|finish)\(.*?)(?:;$| \{)", read("sdk/rust/src/plugin.rs"),
                       re.M | re.S)
    return [re.sub(r"\s+", " ", line).replace("( ", "(").replace(", )", ")") + ";" for line in found]


def c():
    source = search(r"^// The functions that a plugin implements\.$(.*)", read("sdk/c/include/flowloom.h"), "plugins in C")[1]
    return re.findall(r"^(?:const char \*|void |bool )flowloom_\w+\(.*?\);", source, re.M | re.S)


def zig():
    return re.findall(r"^//! {5}(pub fn .*)$", read("sdk/zig/flowloom.zig"), re.M)


def typescript():
    body = search(r"^export interface Plugin<State> \{\n(.*?)^\}", read("sdk/javascript/flowloom/index.d.ts"), "Plugin<State>")[1]
    return re.findall(r"^  (\w+\??\(.*;)$", body, re.M)


def python():
    found = re.findall(r"^    (def \w+\(self.*): \.\.\.$", read("sdk/python/flowloom/plugin.pyi"), re.M)
    return [line for line in found if not line.startswith("def __")]


def go():
    body = search(r"^type Plugin\[.*?^type Available", read("sdk/go/plugin.go"), "the interfaces of Go")[0]
    return re.findall(r"^\t([A-Z]\w*\(.*)$", body, re.M)


def manifest():
    members = wit("manifest", "record", "manifest")
    same(members, MANIFEST, "record manifest of wit/manifest.wit")
    meanings = [[f"`{item}`", code(type), meaning] for item in MANIFEST for type, meaning in [members[item]]]
    return (table(["item", "type", "meaning"], meanings), names("item", [(f"`{item}`", *row) for item, row in MANIFEST.items()]))


def available():
    members = wit("manifest", "record", "available")
    same(members, AVAILABLE, "record available of wit/manifest.wit")
    return names("item", [(f"`{item}`", *row) for item, row in AVAILABLE.items()])


# Fields.

def documented(heading):
    """Returns the rows of a table of docs/fields.md, as lists of cells, by the name of the field."""
    section = search(rf"^## {heading}$(.*?)(?=^## |\Z)", read("docs/fields.md"), heading)[1]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = cells[1:]
    return rows


def check_types(rows, name):
    """Checks types against those of the Rust SDK. Returns the fields that plugins can request."""
    known = tables()[name]
    for field, kind in known.items():
        need(field in rows, f"docs/fields.md does not have `{field}`")
        type = rows[field][0]
        of_lists = type == "list of texts" and kind == "&str"
        need(of_lists or TYPES.get(kind, kind) == type, f"`{field}` is {type} in docs/fields.md, but {kind} in the Rust SDK")
    return list(known)


def in_registers():
    """Returns the packet fields that single events have in registers."""
    fields = wit("feature", "record", "packet")
    flags = search(r"flags tcp-flags \{ ([a-z, ]+) \}", read("wit/feature.wit"), "flags tcp-flags")[1].split(", ")
    return {field.replace("-", "_") for field in fields} | set(flags)


def without(header, rows):
    """Returns a table without the columns that are empty."""
    kept = [n for n in range(len(header)) if any(row[n] for row in rows)]
    return table([header[n] for n in kept], [[row[n] for n in kept] for row in rows])


def packet_fields():
    rows = documented("Fields of packets")
    same(check_types(rows, "PACKET"), rows, "packet fields")
    same(" ".join(fields for _, fields in PACKET_GROUPS).split(), rows, "groups of packet fields")
    registers = in_registers()
    need(registers < set(rows), "a field of record packet is not in docs/fields.md")
    text = ""
    for title, fields in PACKET_GROUPS:
        cells = [[f"`{field}`", type, unit, grant, "yes" if field in registers else "", definition]
                 for field in fields.split() for type, unit, grant, definition in [rows[field]]]
        text += f"### Packet fields: {title}\n\n"
        text += without(["field", "type", "unit", "grant", "registers", "definition"], cells) + "\n"
    return text.removesuffix("\n")


def flow_fields():
    rows = documented("Fields of flows")
    requested = check_types(rows, "FLOW")
    expanded = [
        [f"{direction}_{field[1:]}" for direction in DIRECTIONS] if field.startswith("*") else [field]
        for _, fields in FLOW_GROUPS for field in fields.split()
    ]
    same([field for fields in expanded for field in fields], requested, "groups of flow fields")
    text = ""
    for title, fields in FLOW_GROUPS:
        group = [f"bidirectional_{field[1:]}" if field.startswith("*") else field for field in fields.split()]
        presences = {rows[field][2] for field in group}
        text += f"### Flow fields: {title}\n\n"
        if len(presences) == 1 and presences != {"always"}:
            text += f"These fields are present {code_of_parameter(*presences)}.\n\n"
        if "*" in fields:
            text += "Each of these fields exists three times. The definition is that of the first name. The other two count "
            text += "the packets of one direction.\n\n"
        cells = []
        for field in group:
            type, unit, present, grant, definition = rows[field]
            name = f"`{field}`"
            if field.startswith("bidirectional_"):
                base = field.removeprefix("bidirectional")
                name = "<br>".join(f"`{direction}{base}`" for direction in DIRECTIONS)
            mixed = code_of_parameter(present) if len(presences) > 1 and present != "always" else ""
            # The guide for users of NFStream has the differences.
            definition = re.sub(r" \([^()]*NFStream[^()]*\)", "", definition)
            cells.append([name, type, unit, mixed, grant, definition])
        text += without(["field", "type", "unit", "present", "grant", "definition"], cells) + "\n"
    late = [field for field in rows if field not in requested]
    # docs/fields.md says so of each field, except of the two that are other forms of a field.
    for field in late:
        need("lugins cannot request it" in rows[field][-1] or rows[field][0] == "time", f"can plugins request `{field}`?")
    return text.removesuffix("\n"), ", ".join(f"`{field}`" for field in late)


def code_of_parameter(present):
    """Marks the names of parameters in a text about presence."""
    return re.sub(r"\b([a-z]+_[a-z_]+)\b", r"`\1`", present)


# Types.

def outputs():
    members = wit("manifest", "enum", "value-type")
    same(members, OUTPUTS, "enum value-type of wit/manifest.wit")
    meanings = table(["type", "value"], [[f"`{type}`", members[type][1]] for type in OUTPUTS])
    return meanings, names("type", [*((f"`{type}`", *row) for type, row in OUTPUTS.items()), OUTPUT_NULL])


def options():
    members = wit("manifest", "enum", "option-type")
    same(members, OPTIONS, "enum option-type of wit/manifest.wit")
    meanings = table(["type", "what the operator writes"], [[f"`{type}`", members[type][1]] for type in OPTIONS])
    return meanings, names("type", [(f"`{type}`", *row) for type, row in OPTIONS.items()]), names("rule", OPTION_RULES)


# Limits and errors.

def limits():
    section = search(r"^## Limits$(.*?)^## ", read("docs/sandbox.md"), "limits in docs/sandbox.md")[1]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4:
            rows[cells[0]] = cells[1:3]
    for limit in LIMITS:
        need(limit in rows, f"docs/sandbox.md has no limit `{limit}`")
    most = search(r"MAX_BYTES: u32 = ([\d_]+);", read("host/plugin/src/grants.rs"), "Grants::MAX_BYTES")[1]
    rows["payload bytes, packet bytes"] = [f"{int(most):,} each", ""]
    return table(["limit", "default", "changed by"], [[limit, *rows[limit]] for limit in [*LIMITS, "payload bytes, packet bytes"]])


PLACEHOLDERS = {"component": "FILE", "of": "KIND", "field": "NAME", "name": "NAME", "import": "NAME", "missing": "GRANTS",
                "requested": "N", "count": "N", "size": "N", "len": "N", "max": "N", "meters": "N", "has": "0.1.0",
                "allowed_ms": "N", "taken": "N", "allowed": "N", "stack": ""}


def messages(enum):
    """Returns the texts of an enum of errors in the host, by variant."""
    body = search(rf"^pub enum {enum} \{{$(.*?)^\}}$", read("host/plugin/src/error.rs"), enum)[1]
    found = {}
    for text, variant in re.findall(r'#\[error\(\s*"((?:[^"\\]|\\.)*)".*?\)\]\s*(?:///[^\n]*\s*)*([A-Z]\w*)', body, re.S):
        text = re.sub(r"\{\{", "\0", text.replace("}}", "\1"))
        text = re.sub(r"\{(\w*)[^}]*\}", lambda hole: PLACEHOLDERS.get(hole[1], "…"), text)
        found[variant] = text.replace("\0", "{").replace("\1", "}").replace('\\"', '"')
    return found


def load_errors():
    found = messages("LoadErrorKind")
    listed = [variant for group in LOAD_ERRORS.values() for variant in group]
    same(found, {*listed, *OPERATOR_ERRORS}, "errors of host/plugin/src/error.rs")
    text = ""
    for title, group in LOAD_ERRORS.items():
        rows = [[code(found[variant]), cause, correction] for variant, (cause, correction) in group.items()]
        text += f"**{title}**\n\n" + table(["message", "cause", "correction"], rows) + "\n"
    return text.removesuffix("\n")


def run_errors():
    found = messages("Trap")
    same(found, {*TRAPS, "Stopped", "Failed"}, "reasons of traps in host/plugin/src/error.rs")
    rows = [[code(found[variant]), cause, correction] for variant, (cause, correction) in TRAPS.items()]
    for violation, (language, mistake, cause, correction) in VIOLATIONS.items():
        need(f"wasm trap: {violation}" in expected(language)[mistake], f"{mistake} of {language}.txt has no `{violation}`")
        rows.append([code(f"wasm trap: {violation}"), cause, correction])
    return table(["message", "cause", "correction"], rows)


def expected(language):
    """Returns what authors read in one language, by mistake."""
    text = read(f"tests/languages/mistakes/expected/{language}.txt")
    return dict(re.findall(r"^# (\w+)\n(.*?)(?=^# |\Z)", text, re.M | re.S))


UNREACHABLE = "wasm trap: wasm `unreachable` instruction executed"
#: Places and events, which differ between plugins.
PLACES = [
    r"^[\w.]+ in \w+(?: \(event \d+ of \d+ in the batch\))?(?:, event \d+ of \d+ in the batch)?(?: at [^:]*?\(\w+\.js:[\d:]+\))?: ",
    r" \((?:\w+\.py:\d+ in [^()]*(?:, called by [^()]*)*)\)$",
    r" \([\w.()*]+, [\w./]+:\d+\)$",
]


def essence(language, mistake):
    """Returns the text about a mistake, without event and place."""
    block = expected(language).get(mistake)
    need(block, f"{language}.txt has no mistake `{mistake}`")
    lines = [search(r"plugin '?mistakes'?: (?:stopped in [^:]*: )?(.*)", line, mistake)[1] for line in block.splitlines()
             if "plugin mistakes: " in line or "plugin 'mistakes': " in line]
    need(lines, f"{mistake} of {language}.txt has no text")
    text = lines[-1]
    if text.endswith(UNREACHABLE) and len(lines) > 1:
        text = lines[-2]
    text = re.sub(r"; the flows that it held have null values; back-off: \d+ s$", "", text)
    text = re.sub(r"^cannot be opened: ", "", text).removeprefix(f"{UNREACHABLE}: ")
    # The place is the essence of an exception.
    for place in PLACES if not mistake.startswith("exception_") else []:
        text = re.sub(place, "", text)
    return text


TITLES = {"python": "Python", "javascript": "JavaScript", "c": "C", "zig": "Zig", "go": "Go", "rust": "Rust"}


def checks():
    text = ""
    for title, group in CHECKS.items():
        rows = []
        for mistake, (what, languages, correction) in group.items():
            shown = []
            for language, _, other in (language.partition(":") for language in languages):
                shown.append(f"{TITLES[language]}: {code(essence(language, other or mistake))}")
            rows.append([what, "<br>".join(shown), correction])
        text += f"**{title}**\n\n" + table(["mistake", "message", "correction"], rows) + "\n"
    return text.removesuffix("\n")


def option_errors():
    source = read("sdk/python/flowloom/options.py")
    for _, part, _ in OPTION_ERRORS:
        need(part in source, f"the Python SDK has no error `{part}`")
    return table(["message", "cause"], [[code(message), cause] for message, _, cause in OPTION_ERRORS])


def page():
    manifest_meanings, manifest_names = manifest()
    output_meanings, output_names = outputs()
    option_meanings, option_names, option_rules = options()
    flow, late = flow_fields()
    return f"""\
<!-- Generated by sdk/tools/reference.py. Do not edit. -->
# Reference for authors of plugins

This page lists everything that the author of a plugin can look up, with its name in each SDK. [plugins.md](plugins.md) is the
guide: it explains how the parts work together. The README of each SDK has a complete example:
[Rust](../sdk/rust/README.md), [C](../sdk/c/README.md), [Zig](../sdk/zig/README.md),
[JavaScript](../sdk/javascript/README.md), [Python](../sdk/python/README.md), [Go](../sdk/go/README.md).

- [Functions of a plugin](#functions-of-a-plugin): what Flowloom calls, and when
- [Manifest](#manifest): what a plugin declares, and [what is available](#what-is-available)
- [Types of fields](#types-of-fields): how each SDK reads them
- [Packet fields](#packet-fields)
- [Flow fields](#flow-fields)
- [Output types](#output-types)
- [Option types](#option-types)
- [Log](#log)
- [Limits](#limits)
- [Errors](#errors): [loading](#errors-at-load), [running](#errors-at-run-time), [checks of the SDKs](#checks-of-the-sdks)

## Functions of a plugin

{events()}
[plugins.md](plugins.md#functions-of-a-plugin) describes the order of the calls, and why a flow ends. The SDKs keep the states of
the flows. They call a further function if the plugin cuts flows, and some call `adapt`.

{names("function", EVENT_NAMES)}
Zig, C and Go pass what is available to `open`. `adapt`, `cuts` and `finish` are optional; Go needs `Finish`, and C and Zig need
`finish`.

### Signatures

{signatures()}
## Manifest

{manifest_meanings}
`packet`, `at-init`, `at-update` and `at-expire` are lists of names. [plugins.md](plugins.md#manifest) explains the manifest.

### Names in the SDKs

{manifest_names}
In Rust, capitalized names are associated types and constants, and the others are methods. In Python, they are attributes of the class; in
JavaScript, properties of the object that `open` returns; in C, Zig and Go, members of the manifest. The SDKs for C, Zig and Go
add the size of the state to `allocated_bytes` and `AllocatedBytes`. In C, set `state_size`.

### What is available

A plugin that can do without a field asks what it may request ([plugins.md](plugins.md#fields-that-a-run-may-lack)). In Rust,
Python and JavaScript, `adapt` receives it. In C, Zig and Go, `open` receives it.

{available()}
## Types of fields

Rows show the type that a plugin gets, or the function that reads it. Fields are never null. A field that is a list of
texts is one text, with a line feed between its elements.

{names("type", READS)}
In Rust, a field may also have a wider type. `direction` is `Direction` in Rust; in the other languages, it is 0 or 1.

## Packet fields

Packet fields are requested with `packet` of the manifest, for `init` and `update`. A field with a grant needs
`--grant NAME=GRANT` ([plugins.md](plugins.md#grants)). "Registers" marks the fields that a single event has in registers: a plugin
that cuts flows is fastest if it requests only these
([plugins.md](plugins.md#batches-and-single-events)).

{packet_fields()}
### Bytes of packets

| bytes | item | grant | definition |
|---|---|---|---|
| payload | `payload-bytes` | `payload:N` | The first N bytes of the transport payload. [fields.md](fields.md#fields-of-packets) defines where it begins. |
| packet | `packet-bytes` | `bytes:N` | The first N bytes from the IP header on, without Ethernet padding. |

There are fewer bytes if the operator granted fewer, or if the packet was not captured completely.

## Flow fields

Flow fields can be requested at `init`, `update` and `expire`. At `init` and `update`, they include the current packet; before the
end, `expiration_id` is 0, and application fields have what nDPI knows so far. Fields at `update` cost time for every
packet. Flowloom does not load a plugin that requests a field which the run does not have. "Present" says which run has a
field; without an entry, every run has it.

Plugins cannot request {late}. Flowloom computes them after the end of the flow, or only for the output. [fields.md](fields.md#numbers-of-protocol) lists
the numbers of `protocol`, `expiration_id`, `tunnel_id` and `application_confidence`.

{flow}
## Output types

The name of an output is `[a-z][a-z0-9_]{{0,31}}`. Every value may also be null. [fields.md](fields.md#how-values-are-written)
describes how each format writes values.

{output_meanings}
The second name, if there is one, is the function that sets the output in `expire`:

{output_names}
JavaScript accepts integers from -(2^53 - 1) to 2^53 - 1. Flowloom replaces JSON that is not valid with null, and counts it.

## Option types

The name of an option is `[a-z][a-z0-9_]{{0,31}}`. The operator writes options after the file: `--plugin my_x.wasm,limit=10`.

{option_meanings}
These types and functions read an option:

{option_names}
An option has a default, is optional, or is required:

{option_rules}
In Rust, the type is the range: `u8` accepts 0 to 255. `OptionValue` is for types of your own. In JavaScript and Python, only
integers have a range.

## Log

{names("level", LOG)}
Printed text goes to the log where the language permits it. The README of each SDK says which functions do so.

## Limits

[sandbox.md](sandbox.md#limits) gives the reason for each limit. [plugins.md](plugins.md#limits) says what happens beyond it.

{limits()}
Output, option and field names are checked when the plugin is loaded. Flowloom shows at most 16 problems of a manifest.

## Errors

Words in capitals, and `…`, stand for values. `flowloom plugin check FILE` gives the reason why a plugin is not loaded.
[plugins.md](plugins.md#debug-a-plugin) describes how to find the cause of an error.

### Errors at load

Flowloom writes `plugin 'NAME': ` and one of these messages, and does not load the plugin.

{load_errors()}
Other messages concern the operator: files, names, watched folders and the [policy](sandbox.md#policy).

### Errors at run time

Flowloom writes `plugin NAME: stopped in …: ` and one of these messages, or the last error line that the plugin logged in the call.
It discards the instance. [errors-and-limits.md](errors-and-limits.md#running-plugins) lists what follows.

{run_errors()}
### Checks of the SDKs

The SDKs explain mistakes of authors. The messages below are examples, without the event and the place in the source, which
Flowloom also shows. The Rust compiler finds most of these mistakes; [its README](../sdk/rust/README.md#mistakes-and-debugging) lists
the others.

{checks()}
**Options**

{option_errors()}"""


def main():
    try:
        text = page()
    except Stale as error:
        sys.exit(f"sdk/tools/reference.py: {error}")
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f"{PAGE} is not current; run sdk/tools/reference.py")


if __name__ == "__main__":
    main()
