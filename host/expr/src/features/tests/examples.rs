//! The worked examples, with values that were computed by hand.

use flowloom_core::value::UdpValue;

use super::super::Packet;
use super::{Given, program, values};

/// Six packets: a handshake, a request of 8 bytes, an answer after 600 ms, and the end.
fn flow() -> Vec<Given> {
    let packet = |ms, is_answer, size, flags, window, payload| Given {
        ms,
        is_answer,
        size,
        flags,
        window,
        payload,
    };
    vec![
        packet(1_000, false, 40, 0x02, 100, b""),
        packet(1_010, true, 44, 0x12, 200, b""),
        packet(1_030, false, 40, 0x10, 300, b""),
        packet(1_100, false, 48, 0x18, 0, b"GET /abc"),
        packet(1_700, true, 1_200, 0x18, 0, b"\x16\x03okok"),
        packet(3_000, true, 52, 0x11, 400, b"\x00\x00\x00\x00\x00\x01"),
    ]
}

fn float(value: f64) -> UdpValue {
    UdpValue::Float(value)
}

fn integer(value: i64) -> UdpValue {
    UdpValue::Integer(value)
}

fn boolean(value: bool) -> UdpValue {
    UdpValue::Boolean(value)
}

fn is_equal(one: &UdpValue, other: &UdpValue) -> bool {
    match (one, other) {
        (UdpValue::Float(one), UdpValue::Float(other)) => {
            (one - other).abs() <= 1e-12 * other.abs().max(1.0)
        }
        _ => one == other,
    }
}

/// Checks the value of the last feature of a text, and the bytes of its state.
#[track_caller]
fn check(text: &str, expected: &UdpValue, bytes: u32) {
    let value = values(text, &flow()).pop().unwrap();
    assert!(
        is_equal(&value, expected),
        "{text}: {value:?}, not {expected:?}"
    );
    assert_eq!(program(text).state_bytes(), bytes, "{text}");
}

#[test]
fn counts_and_means() {
    check("big = count(where ip_size > 1000)", &integer(1), 16);
    check("up_mean = mean(ip_size, src2dst)", &float(128.0 / 3.0), 16);
    // 40, 40, 48: the deviations are −8/3, −8/3, 16/3, and their squares sum up to 384/9.
    let variance: f64 = 384.0 / 9.0 / 2.0;
    check(
        "a = mean(ip_size, src2dst)\nb = stddev(ip_size, src2dst)",
        &float(variance.sqrt()),
        32,
    );
    check("syn_share = share(syn and not ack)", &float(1.0 / 6.0), 16);
    check(
        "first10_up = sum(ip_size, src2dst where index <= 10)",
        &integer(128),
        16,
    );
    check("early = sum(ip_size where age < 1s)", &integer(1_372), 16);
    check(
        "web = any(dst_port in {80, 443, 8000..8080})",
        &boolean(false),
        16,
    );
    check(
        "synacks = count(where tcp_flags & 0x12 == 0x12)",
        &integer(1),
        16,
    );
    check(
        "closed = count(where tcp_window == 0 and not (syn or fin or rst), dst2src)",
        &integer(1),
        16,
    );
}

#[test]
fn times() {
    // 10, 20, 70, 600 and 1300 ms.
    check("iat_p50 = median(iat first 64) in ms", &float(70.0), 576);
    let turns = "let since = delta(time)\nlet turn = direction != prev(direction)\n";
    check(
        &format!("{turns}resp = mean(since where turn and dst2src) in ms"),
        &float(305.0),
        64,
    );
    check("rate_up = rate(sum(ip_size, src2dst))", &float(64.0), 32);
    let handshake = "h = first(time where ack and not syn, src2dst) - last(time where syn and not ack, src2dst) in ms";
    check(handshake, &float(30.0), 32);
    check(
        "pause = mean(iat where index > 1) in us",
        // The gaps between the selected packets: 20, 70, 600 and 1300 ms.
        &float(497_500.0),
        64,
    );
}

#[test]
fn lists_and_histograms() {
    let sizes = UdpValue::Integers([40, 44, 40, 48, 1_200, 52].into());
    check("sizes = list(ip_size first 20)", &sizes, 128);
    let histogram = "hist(ip_size, [64, 128, 256, 512, 1024, 1500])";
    let counts = UdpValue::Integers([5, 0, 0, 0, 0, 1, 0].into());
    check(&format!("size_hist = {histogram}"), &counts, 32);
    let entropy = -(5.0_f64 / 6.0) * (5.0_f64 / 6.0).log2() - (1.0 / 6.0) * (1.0_f64 / 6.0).log2();
    check(
        &format!("size_entropy = entropy({histogram})"),
        &float(entropy),
        32,
    );
    check("ttls = distinct(ttl, 16)", &integer(2), 32);
    check(
        "init_window = first(tcp_window, src2dst)",
        &integer(100),
        16,
    );
}

#[test]
fn payloads() {
    // Eight different bytes.
    check(
        "pay_entropy = entropy(head(payload, 256, src2dst))",
        &float(3.0),
        320,
    );
    let bytes = UdpValue::Bytes(b"GET /abc"[..].into());
    let both = "a = entropy(head(payload, 256, src2dst))\nfirst_bytes = head(payload, 16, src2dst)";
    check(both, &bytes, 320);
    check(
        "is_tls = any(payload[0] == 0x16 and payload[1] == 3, src2dst)",
        &boolean(false),
        16,
    );
    check(
        "is_tls = any(payload[0] == 0x16 and payload[1] == 3, dst2src)",
        &boolean(true),
        16,
    );
    check(
        "gets = count(where starts(payload, \"GET \"), src2dst)",
        &integer(1),
        16,
    );
    check(
        "dns = count(where dst_port == 53 and u16(payload, 4) > 0)",
        &integer(1),
        16,
    );
    check(
        "found = any(payload[:64] contains \"ok\")",
        &boolean(true),
        16,
    );
    let grants = |text| (program(text).payload_bytes(), program(text).grants());
    let payload = |bytes: u32| (bytes, vec![format!("payload:{bytes}")]);
    assert_eq!(
        grants("a = entropy(head(payload, 256, src2dst))"),
        payload(256)
    );
    assert_eq!(
        grants("a = any(payload[0] == 0x16 and payload[1] == 3)"),
        payload(2)
    );
    assert_eq!(
        grants("a = count(where starts(payload, \"GET \"))"),
        payload(4)
    );
    assert_eq!(grants("a = count(where u16(payload, 4) > 0)"), payload(6));
    assert_eq!(grants("a = count()"), (0, vec![]));
}

#[test]
fn head_takes_payload_whose_size_is_not_in_a_header() {
    let program = program("a = head(payload, 6)");
    // The payload of a packet, its size by the header, and the joined bytes.
    let packets = |sizes: [u64; 2]| {
        let payloads = [b"abcd", b"efgh"].into_iter().zip(sizes);
        let fields = |size| program.packet_fields().iter().map(|_| size).collect();
        payloads
            .map(|(payload, size)| Packet::new(fields(size), payload.to_vec()))
            .collect::<Vec<_>>()
    };
    for (sizes, expected) in [([0, 0], "abcdef"), ([4, 9], "abcdef"), ([5, 4], "abcd")] {
        let value = program.interpret(&packets(sizes), &[]).pop();
        assert_eq!(value, Some(UdpValue::Bytes(expected.as_bytes().into())));
    }
}

#[test]
fn shapes() {
    // Gaps of direction src2dst: 30 and 70 ms.
    let deviation = 800.0_f64.sqrt();
    let regular = "let up_gap = iat, src2dst\nregular = 1 - stddev(up_gap) / mean(up_gap)";
    check(regular, &float(1.0 - deviation / 50.0), 64);
    let [x, y] = [[20.0, 70.0, 600.0, 1_300.0], [10.0, 20.0, 70.0, 600.0_f64]];
    let mean = |of: [f64; 4]| of.iter().sum::<f64>() / 4.0;
    let covariance = |a: [f64; 4], b: [f64; 4]| -> f64 {
        (0..4).map(|i| (a[i] - mean(a)) * (b[i] - mean(b))).sum()
    };
    let expected = covariance(x, y) / (covariance(x, x) * covariance(y, y)).sqrt();
    check("autocorr = corr(iat, prev(iat))", &float(expected), 128);
    let sizes = [40.0, 44.0, 40.0, 48.0, 1_200.0, 52.0_f64];
    let mean = sizes.iter().sum::<f64>() / 6.0;
    let moment = |power| {
        sizes
            .iter()
            .map(|size| (size - mean).powi(power))
            .sum::<f64>()
            / 6.0
    };
    check(
        "skewed = skew(ip_size)",
        &float(moment(3) / moment(2).powf(1.5)),
        64,
    );
    let excess = moment(4) / moment(2).powi(2) - 3.0;
    check("k = kurtosis(ip_size)", &float(excess), 64);
    let ratio = "down_up = sum(ip_size, dst2src) / sum(ip_size, src2dst) ?? 0";
    check(ratio, &float(1_296.0 / 128.0), 16);
}

#[test]
fn runs() {
    let burst = "runs burst = where payload_size > 0 break when iat >= 700ms\n";
    // Packets 4 and 5, and packet 6.
    check(
        &format!("{burst}bursts = count(count() per burst)"),
        &integer(2),
        32,
    );
    check(
        &format!("{burst}burst_bytes = mean(sum(payload_size) per burst)"),
        &float(10.0),
        64,
    );
    let second = "runs second = break when changed(floor(age, 1s))\n";
    check(
        &format!("{second}peak_pps = max(count() per second)"),
        &integer(5),
        64,
    );
    let talk = "runs talk = where payload_size > 0 break when changed(direction)\n";
    check(
        &format!("{talk}turns = count(count() per talk)"),
        &integer(2),
        32,
    );
    let cut = "runs talk = where payload_size > 0 break when changed(direction) drop last\n";
    check(
        &format!("{cut}a = sum(sum(payload_size) per talk where count() >= 1 and first(src2dst))"),
        &integer(8),
        64,
    );
    check(
        &format!("{talk}a = max(delta(sum(payload_size)) per talk)"),
        &integer(4),
        64,
    );
}

#[test]
fn the_topmost_comment_is_a_program() {
    let text = r#"
language 1
about "Sizes and pauses"

let gap = iat
runs burst = src2dst where payload_size > 0 break when iat > 1s

big       = count(where ip_size > 1000)      # Packets of more than 1000 bytes.
up_mean   = mean(ip_size, src2dst)           # Mean IP size upstream, bytes.
pauses    = mean(gap where gap > 1s) in ms   # Mean pause of more than 1 s, ms.
per_burst = mean(sum(payload_size) per burst)
"#;
    let expected = [integer(1), float(128.0 / 3.0), float(1_300.0), float(8.0)];
    assert_eq!(values(text, &flow()), expected);
    assert_eq!(program(text).about(), Some("Sizes and pauses"));
    let program_of = program(text);
    let description = &program_of.outputs()[3].description;
    assert_eq!(description, "mean(sum(payload_size) per burst)");
    // One packet of this direction has a payload.
    let text = "runs burst = src2dst where payload_size > 0 break when iat >= 500ms\n\
                bursts = count(count() per burst)";
    check(text, &integer(1), 32);
}

#[test]
fn statements_go_on_behind_operators_and_in_brackets() {
    let text = "a = count( # one\n  where syn\n)\n  + 1 # two\n\n# three\nb = 2";
    assert_eq!(values(text, &flow()), [integer(3), integer(2)]);
    assert_eq!(program(text).outputs()[0].description, "one two");
}

#[test]
fn whole_numbers_are_exact() {
    check("a = -7 // 2 + count(rst)", &integer(-4), 16);
    check("a = -7 % 2 + count(rst)", &integer(1), 16);
    check("a = 7 % -2 + count(rst)", &integer(-1), 16);
    check("a = 6 & 3 | 8", &integer(10), 16);
    check("a = sum(ip_size - 41)", &integer(1_424 - 246), 16);
    check("a = max(floor(-1 * ip_size, 64))", &integer(-64), 16);
    check(
        "a = variance_pop(ip_size, src2dst)",
        &float(384.0 / 9.0 / 3.0),
        32,
    );
    check(
        "a = variance(float(ip_size), src2dst)",
        &float(384.0 / 9.0 / 2.0),
        32,
    );
    check("a = count() == 6 or count() / 0 > 1", &boolean(true), 16);
    check("a = count() == 5 or count() / 0 > 1", &UdpValue::Null, 16);
    check("a = nth(ip_size, 4) in {40..48}", &boolean(true), 16);
    check("a = quantile(ip_size, 0.25 first 4)", &float(40.0), 32);
    check("a = duration(dst2src) in s", &float(1.99), 32);
}

#[test]
fn nulls() {
    check(
        "a = mean(ip_size where ip_size > 5000)",
        &UdpValue::Null,
        16,
    );
    check(
        "nulls 0\na = mean(ip_size where ip_size > 5000)",
        &float(0.0),
        16,
    );
    check(
        "a = first(ip_size where ip_size > 5000) ?? 7",
        &integer(7),
        16,
    );
    check("a = sum(ip_size where ip_size > 5000)", &integer(0), 16);
    check("a = count() / count(rst)", &UdpValue::Null, 16);
    check("a = count() // count(rst)", &UdpValue::Null, 16);
}

#[test]
fn a_mean_of_times_is_exact_beyond_the_limit_of_sums() {
    let far = 1 << 62;
    for (text, expected) in [
        ("a = mean(age) in ns", 0.75 * far as f64),
        ("a = sum(age) in ns", i64::MAX as f64),
    ] {
        let program = program(text);
        let packets = [0, far, far, far].map(|time| Packet::new(vec![time], Vec::new()));
        let value = program.interpret(&packets, &[]).pop();
        assert_eq!(value, Some(float(expected)), "{text}");
    }
}
