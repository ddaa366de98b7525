//! Flow fields that do not exist.

use flowloom_sdk::FlowFields;

#[derive(FlowFields)]
struct AtExpire<'a> {
    packets: u64,
    requested_server_nam: &'a str,
    entropy: f64,
    ip_size: u32,
}

fn main() {}
