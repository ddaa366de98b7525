use flowloom_core::meter::Settings;

use super::*;

/// A manifest with one output, which requests nothing.
fn declared() -> wit::Manifest {
    wit::Manifest {
        version: String::new(),
        description: String::new(),
        outputs: vec![wit::Output {
            name: "x".into(),
            kind: wit::ValueType::Integer,
            description: String::new(),
        }],
        options: Vec::new(),
        packet: Vec::new(),
        payload_bytes: 0,
        packet_bytes: 0,
        at_init: Vec::new(),
        at_update: Vec::new(),
        at_expire: Vec::new(),
        packets_per_flow: None,
        flow_bytes: 0,
        cuts_flows: false,
        packed: false,
        needs_one_meter: false,
    }
}

fn check(declared: wit::Manifest, grants: &str) -> Result<Manifest, String> {
    let schema = Settings::default().schema();
    let rules = ManifestRules {
        name: "p",
        grants: match grants {
            "" => Grants::default(),
            grants => grants.parse().unwrap(),
        },
        schema: &schema,
        has_feature: true,
    };
    Manifest::accept(declared, &rules).map_err(|problem| problem.to_string())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn accept(version: usize, description: usize, of_output: usize) -> Result<Manifest, String> {
    let mut declared = declared();
    declared.version = "v".repeat(version);
    declared.description = "d".repeat(description);
    declared.outputs[0].description = "o".repeat(of_output);
    check(declared, "")
}

#[test]
fn all_invalid_declarations_are_reported_at_once() {
    let mut declared = declared();
    declared.packet = names(&["ip_siz", "ttl", "ttl", "bidirectional_packets"]);
    declared.at_expire = names(&["dst_prot", "ip_size", "quux", "community_id"]);
    declared.outputs[0].name = "X".into();
    let error = check(declared, "").unwrap_err();
    assert_eq!(
        error,
        "requests flow field 'dst_prot', which does not exist in this version of Flowloom; did you mean \
         'dst_port'?; it also requests flow field 'ip_size', which does not exist in this version of \
         Flowloom; it is a packet field; it also requests flow field 'quux', which does not exist in this \
         version of Flowloom; `flowloom fields` lists all fields; it also requests flow field community_id, \
         which plugins cannot request; Flowloom computes it after the flow has ended; it also declares \
         output 'X', which is not a valid name; use [a-z][a-z0-9_]{0,31}; it also requests packet field \
         'ip_siz', which does not exist in this version of Flowloom; did you mean 'ip_size'?; it also \
         requests packet field 'ttl' twice; it also requests packet field 'bidirectional_packets', which \
         does not exist in this version of Flowloom; it is a flow field, which can be requested at init, \
         update and expire"
    );
}

#[test]
fn the_problems_of_a_manifest_are_bounded() {
    let schema = Settings::default().schema();
    let rules = ManifestRules {
        name: "p",
        grants: Grants::default(),
        schema: &schema,
        has_feature: true,
    };
    let mut declared = declared();
    declared.packet = (0..100_000).map(|n| format!("x{n}")).collect();
    declared.at_init = vec!["ttl".repeat(1_000_000); 3];
    declared.outputs = vec![declared.outputs[0].clone(); 1_000];
    declared.version = "é".repeat(1_000);
    let (manifest, problems) = Manifest::examine(declared, &rules);
    assert_eq!(problems.len(), MAX_PROBLEMS);
    let texts = problems.iter().map(|problem| problem.to_string().len());
    assert!(texts.sum::<usize>() < 4_000);
    assert_eq!((manifest.outputs.len(), manifest.version.len()), (1, 256));
}

#[test]
fn one_missing_grant_is_reported_with_what_requests_it() {
    let error = |declared, grants| check(declared, grants).unwrap_err();
    let packet = || wit::Manifest {
        packet: names(&["ip_size", "src_ip"]),
        ..declared()
    };
    let src_ip = "requests packet field src_ip, which was not granted; it needs addresses";
    assert_eq!(error(packet(), ""), src_ip);
    assert_eq!(error(packet(), "payload:64,names"), src_ip);
    assert!(check(packet(), "addresses").is_ok());
    let payload = || wit::Manifest {
        payload_bytes: 64,
        ..declared()
    };
    assert_eq!(
        error(payload(), "addresses"),
        "requests payload bytes (64), which were not granted; it needs payload:64"
    );
    // A smaller number may be granted.
    assert_eq!(check(payload(), "payload:9").unwrap().payload_bytes, 9);
}

#[test]
fn fields_that_follow_the_end_of_a_flow_cannot_be_requested() {
    let schema = Schema::new(|_| true, Vec::new());
    let rules = ManifestRules {
        name: "p",
        grants: "addresses".parse().unwrap(),
        schema: &schema,
        has_feature: true,
    };
    for field in [
        "community_id",
        "flow_uid",
        "source_file",
        "system_process_pid",
        "system_process_name",
    ] {
        let declared = wit::Manifest {
            at_expire: names(&["id", field]),
            ..declared()
        };
        let expected = format!(
            "requests flow field {field}, which plugins cannot request; Flowloom computes it after the flow has ended"
        );
        // The run has the columns, or it does not.
        let problem = Manifest::accept(declared.clone(), &rules).unwrap_err();
        assert_eq!(problem.to_string(), expected);
        assert_eq!(check(declared, "").unwrap_err(), expected);
    }
}

#[test]
fn all_missing_grants_are_reported_at_once() {
    let declared = wit::Manifest {
        packet: names(&["src_ip", "dst_ip"]),
        payload_bytes: 1_500,
        at_init: names(&["src_ip"]),
        at_update: names(&["src_ip"]),
        ..declared()
    };
    assert_eq!(
        check(declared.clone(), "").unwrap_err(),
        "requests packet fields src_ip, dst_ip, flow field src_ip and payload bytes (1500), which \
         were not granted; it needs addresses,payload:1500"
    );
    // What was granted is not listed.
    assert_eq!(
        check(declared.clone(), "payload:1").unwrap_err(),
        "requests packet fields src_ip, dst_ip and flow field src_ip, which were not granted; it \
         needs addresses"
    );
    assert!(check(declared, "addresses,payload:1500").is_ok());
}

#[test]
fn packet_bytes_include_addresses() {
    let declared = wit::Manifest {
        packet: names(&["src_ip"]),
        packet_bytes: 1_500,
        ..declared()
    };
    assert_eq!(
        check(declared.clone(), "").unwrap_err(),
        "requests packet field src_ip and packet bytes (1500), which were not granted; it needs \
         bytes:1500"
    );
    assert!(check(declared, "bytes:1500").is_ok());
}

#[test]
fn pseudonyms_are_not_granted_together_with_addresses() {
    let with_bytes = wit::Manifest {
        packet: names(&["src_pseudonym"]),
        packet_bytes: 20,
        ..declared()
    };
    let error = "but pseudonyms cannot be granted together with addresses or packet bytes, which \
                 reveal the addresses behind them";
    for (grants, requests) in [
        ("", "packet field src_pseudonym and packet bytes (20)"),
        ("pseudonyms", "packet bytes (20)"),
        ("bytes:20", "packet field src_pseudonym"),
    ] {
        let expected = format!("requests {requests}, {error}");
        assert_eq!(check(with_bytes.clone(), grants).unwrap_err(), expected);
    }
    let alone = wit::Manifest {
        packet: names(&["src_pseudonym"]),
        ..declared()
    };
    assert_eq!(
        check(alone, "").unwrap_err(),
        "requests packet field src_pseudonym, which was not granted; it needs pseudonyms"
    );
}

#[test]
fn the_texts_of_a_manifest_are_bounded() {
    assert!(accept(MAX_VERSION, MAX_DESCRIPTION, MAX_DESCRIPTION).is_ok());
    for (lens, what) in [
        ([MAX_VERSION + 1, 0, 0], "version"),
        ([0, MAX_DESCRIPTION + 1, 0], "description"),
        ([0, 0, MAX_DESCRIPTION + 1], "description"),
    ] {
        let error = accept(lens[0], lens[1], lens[2]).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_is_declared_is_accepted_unchanged() {
    let kinds = [
        (wit::ValueType::Boolean, Type::Boolean),
        (wit::ValueType::Integer, Type::I64),
        (wit::ValueType::Float, Type::Float),
        (wit::ValueType::Text, Type::Text),
        (wit::ValueType::Bytes, Type::Bytes),
        (wit::ValueType::Integers, Type::Integers),
        (wit::ValueType::Floats, Type::Floats),
        (wit::ValueType::Json, Type::Json),
    ];
    let outputs = kinds.iter().enumerate().map(|(n, (kind, _))| wit::Output {
        name: format!("x{n}"),
        kind: *kind,
        description: format!("d{n}"),
    });
    let all = wit::Manifest {
        version: "1.2".into(),
        description: "counts".into(),
        outputs: outputs.collect(),
        options: vec![wit::OptionDescription {
            name: "limit".into(),
            kind: wit::OptionType::Integer,
            accepts: String::new(),
            default: None,
            description: String::new(),
        }],
        packet: names(&["ip_size", "src_ip"]),
        payload_bytes: 9,
        packet_bytes: 65_575,
        at_init: names(&["id"]),
        at_update: names(&["src_port", "protocol"]),
        at_expire: names(&["bidirectional_packets"]),
        packets_per_flow: Some(7),
        flow_bytes: 88,
        cuts_flows: true,
        packed: true,
        needs_one_meter: true,
    };
    let accepted = check(all, "payload:64,bytes:100").unwrap();
    assert_eq!(
        (&*accepted.version, &*accepted.description),
        ("1.2", "counts")
    );
    for (n, (column, (_, ty))) in accepted.outputs.iter().zip(kinds).enumerate() {
        assert_eq!((column.plugin(), column.ty()), ("p", ty));
        let (name, description) = (format!("x{n}"), format!("d{n}"));
        assert_eq!(
            (column.name(), column.description()),
            (&*name, &*description)
        );
    }
    let of = |fields: &[&Feature]| fields.iter().map(|field| field.name).collect::<Vec<_>>();
    let packet: Vec<_> = accepted.packet.iter().map(|field| field.name).collect();
    assert_eq!(packet, ["ip_size", "src_ip"]);
    assert_eq!(of(&accepted.at_init), ["id"]);
    assert_eq!(of(&accepted.at_update), ["src_port", "protocol"]);
    assert_eq!(of(&accepted.at_expire), ["bidirectional_packets"]);
    let options: Vec<_> = accepted
        .options
        .iter()
        .map(|option| &*option.name)
        .collect();
    assert_eq!((options, accepted.flow_bytes), (vec!["limit"], 88));
    // The smaller of the requested and the granted number.
    assert_eq!((accepted.payload_bytes, accepted.packet_bytes), (9, 100));
    assert_eq!(accepted.packets_per_flow, 7);
    assert!(accepted.cuts_flows && accepted.packed && accepted.needs_one_meter);
    assert!(!accepted.hides_addresses);
    let few = check(declared(), "pseudonyms").unwrap();
    assert_eq!(few.packets_per_flow, u64::MAX);
    assert!(!few.cuts_flows && !few.packed && !few.needs_one_meter);
    assert!(few.hides_addresses);
}

#[test]
fn names_of_outputs_are_short_and_plain() {
    let output = |name: &str| wit::Output {
        name: name.into(),
        kind: wit::ValueType::Integer,
        description: String::new(),
    };
    let with = |outputs: Vec<wit::Output>| {
        let declared = wit::Manifest {
            outputs,
            ..declared()
        };
        check(declared, "").map(|_| ()).err().unwrap_or_default()
    };
    for name in ["a", "a_1", &"x".repeat(32)] {
        assert_eq!(with(vec![output(name)]), "", "{name}");
    }
    for name in ["", "1a", "_a", "A", "aB", "a.b", "ä", &"x".repeat(33)] {
        let error = with(vec![output(name)]);
        assert!(
            error.contains("which is not a valid name"),
            "{name}: {error}"
        );
    }
    assert_eq!(
        with(vec![output("a"), output("a")]),
        "declares output 'a' twice"
    );
    let many = |count| (0..count).map(|n| output(&format!("x{n}"))).collect();
    assert_eq!(with(many(128)), "");
    assert_eq!(
        with(many(129)),
        "declares 129 outputs; at most 128 are accepted"
    );
}

#[test]
fn a_plugin_that_does_not_read_pseudonyms_can_do_without_their_grant() {
    for declared in [
        wit::Manifest {
            at_init: names(&["src_ip"]),
            ..declared()
        },
        wit::Manifest {
            packet: names(&["src_ip"]),
            ..declared()
        },
    ] {
        let error = check(declared, "pseudonyms").unwrap_err();
        assert!(
            error.ends_with("not granted; it needs addresses"),
            "{error}"
        );
    }
}
