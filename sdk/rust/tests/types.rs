//! The derives accept every type that can hold a field. A type that they reject is a compile error here.

use flowloom_sdk::{Direction, FlowFields, PacketFields};

macro_rules! held {
    ($derive:ident: $($field:ident: $($type:ty),+;)+) => { $($(
        const _: () = {
            #[derive($derive)]
            #[allow(dead_code, reason = "the derive is the test")]
            struct Fields<'a> {
                $field: $type,
                src_ip: &'a str,
            }
        };
    )+)+ };
}

held! { PacketFields:
    ttl: u8, u16, u32, u64, i16, i32, i64, f64;
    src_port: u16, u32, u64, i32, i64, f64;
    ip_size: u32, u64, i64, f64;
    time_ns: u64;
    syn: bool;
    direction: Direction, flowloom_sdk::Direction;
    dst_ip: String, std::string::String;
}

held! { FlowFields:
    expiration_id: i64;
    src2dst_mean_ps: f64;
    splt_ps: Vec<i64>, std::vec::Vec<i64>;
}

/// The derives do not know what an alias is. The compiler does.
type Size = u64;

#[derive(Debug, PartialEq, PacketFields)]
struct Packet<'p> {
    ip_size: Size,
    src_ip: &'p str,
}

#[derive(Debug, PartialEq, FlowFields)]
struct AtExpire<'f> {
    splt_ps: &'f [i64],
}

#[test]
fn the_names_are_those_of_the_fields() {
    assert_eq!(Packet::NAMES, ["ip_size", "src_ip"]);
    assert_eq!(AtExpire::NAMES, ["splt_ps"]);
}
