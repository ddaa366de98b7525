//! The mistakes that Rust permits; the option `mistake` selects one. Each has a comment with its name.
//!
//! The compiler prevents undeclared_packet_field, undeclared_flow_field, unknown_packet_field, misspelt_key,
//! misspelt_method, wrong_type_text, wrong_type_float, not_a_number, too_large and unknown_output. The files in
//! sdk/rust/tests/mistakes have its texts. A panic is Rust's exception.

use std::hint::black_box;

use flowloom_sdk::{Chosen, Json, Options, Outputs, PacketFields, Plugin};

#[derive(PacketFields)]
struct Packet {
    ip_size: u32,
    src_port: u16,
}

#[derive(Options)]
struct Opts {
    /// The mistake to make.
    mistake: String,
}

#[derive(Outputs)]
struct Out {
    /// Bytes of all packets.
    v: i64,
    /// A text.
    t: String,
    /// A JSON value.
    j: Json,
}

struct Mistakes {
    mistake: String,
}

#[flowloom_sdk::plugin]
impl Plugin for Mistakes {
    const DESCRIPTION: &'static str = "Makes a mistake.";
    type Options = Opts;
    type Packet<'a> = Packet;
    type AtExpire<'a> = Chosen<'a>;
    type State = u32;
    type Outputs = Out;

    fn open(Opts { mistake }: Opts) -> Result<Self, String> {
        if mistake == "exception_in_open" {
            let port: u16 = "https".parse().unwrap(); // mistake: exception_in_open
            black_box(port);
        }
        Ok(Mistakes { mistake })
    }

    fn at_expire(&self) -> Vec<String> {
        match &*self.mistake {
            "unknown_flow_field" => vec!["src2dst_packet".to_owned()], // mistake: unknown_flow_field
            _ => vec!["src2dst_packets".to_owned()],
        }
    }

    fn init(&mut self, packet: &Packet, _: &()) -> u32 {
        if self.mistake == "exception_in_init" {
            assert_eq!(packet.src_port, 0, "a flow has no source port"); // mistake: exception_in_init
        }
        packet.ip_size
    }

    fn update(&mut self, bytes: &mut u32, packet: &Packet, _: &()) {
        match &*self.mistake {
            "exception_in_update" => panic!("a bug in update"), // mistake: exception_in_update
            "print" => print(packet),
            "loop" => loop {
                black_box(&bytes); // mistake: loop
            },
            "recursion" => *bytes += depth(u64::from(packet.ip_size)) as u32,
            "allocation" => allocate(),
            "division" => *bytes /= packet.ip_size - packet.ip_size, // mistake: division
            "index" => *bytes = [1, 2, 3][packet.ip_size as usize],  // mistake: index
            "overflow" => *bytes += u32::MAX - 60 + packet.ip_size,  // mistake: overflow
            "panic" => std::process::abort(),                        // mistake: panic
            _ => *bytes += packet.ip_size,
        }
    }

    fn expire(&mut self, bytes: u32, _: &Chosen<'_>) -> Out {
        if self.mistake == "exception_in_expire" {
            let name: Option<&str> = black_box(None);
            name.expect("every flow has a name"); // mistake: exception_in_expire
        }
        let json = match &*self.mistake {
            "invalid_json" => "{bytes: 1}", // mistake: invalid_json
            _ => "{}",
        };
        Out {
            v: bytes.into(),
            t: "a".to_owned(),
            j: Json(json.to_owned()),
        }
    }

    fn finish(&mut self) {
        if self.mistake == "exception_in_finish" {
            unreachable!("no plugin finishes"); // mistake: exception_in_finish
        }
    }
}

/// Its texts are lost. The build warns of it.
fn print(packet: &Packet) {
    println!("{} bytes", packet.ip_size); // mistake: print
    eprintln!("{} bytes", packet.ip_size);
    dbg!(packet.ip_size);
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "the compiler warns of this mistake")]
fn depth(bytes: u64) -> u64 {
    1 + depth(black_box(bytes + 1)) // mistake: recursion
}

#[inline(never)]
fn allocate() {
    let mut kept = Vec::new();
    loop {
        kept.push(Vec::<u8>::with_capacity(1 << 24)); // mistake: allocation
        black_box(&kept);
    }
}
