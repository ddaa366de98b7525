//! Sends the packets of a capture over an interface at a given rate. It sends many packets per system call. It is
//! therefore faster than programs that send one at a time, and a meter usually reaches its limit first.

use std::error::Error;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use flowloom_bench::PcapReader;
use socket2::{Domain, Socket, Type};

/// The maximum number of packets per call.
const MAX_PACKETS: usize = 64;

/// The period within which packets may be sent together. Over longer periods the rate is constant.
const PERIOD: Duration = Duration::from_micros(200);

/// Sends the packets of a capture over an interface, and prints their number and the seconds as JSON.
#[derive(Parser)]
struct Arguments {
    /// The interface, which must be an Ethernet interface.
    #[arg(short, long)]
    interface: String,
    /// Packets per second; 0 means as fast as possible.
    #[arg(long, default_value_t = 0)]
    pps: u64,
    /// Number of packets; the capture is repeated as often as needed. 0 means the whole capture once.
    #[arg(long, default_value_t = 0)]
    packets: u64,
    /// Add 1 to all IPv4 addresses at each repetition of the capture, so that its flows are different. Checksums are
    /// not updated.
    #[arg(long)]
    other_addresses: bool,
    /// The capture, which is read into memory first.
    capture: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut frames = Frames::read(&arguments.capture)?;
    let packets = match arguments.packets {
        0 => frames.count() as u64,
        packets => packets,
    };
    let wire = Wire::open(&arguments.interface)?;
    let again = |frames: &mut Frames| {
        if arguments.other_addresses {
            frames.change_addresses();
        }
    };
    let seconds = send(&wire, &mut frames, again, packets, arguments.pps)?.as_secs_f64();
    println!(r#"{{"sent": {packets}, "seconds": {seconds:.6}}}"#);
    Ok(())
}

/// Frames in one buffer.
struct Frames {
    bytes: Vec<u8>,
    /// The offsets of the frames, and the end of the last one.
    starts: Vec<usize>,
}

impl Frames {
    fn read(capture: &std::path::Path) -> io::Result<Self> {
        let mut reader = PcapReader::open(capture)?;
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        while reader.read(|record| {
            bytes.extend_from_slice(record.frame);
            starts.push(bytes.len());
        })? {}
        match starts.len() {
            1 => Err(io::Error::other("the capture has no packets")),
            _ => Ok(Self { bytes, starts }),
        }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Adds 1 to the addresses of IPv4 headers that directly follow the Ethernet header.
    fn change_addresses(&mut self) {
        for at in 0..self.count() {
            let frame = &mut self.bytes[self.starts[at]..self.starts[at + 1]];
            if frame.get(12..14) != Some(&[8, 0]) {
                continue;
            }
            for address in [26..30, 30..34] {
                if let Some(bytes) = frame.get_mut(address)
                    && let Ok(old) = <[u8; 4]>::try_from(&*bytes)
                {
                    bytes.copy_from_slice(&u32::from_be_bytes(old).wrapping_add(1).to_be_bytes());
                }
            }
        }
    }

    fn get(&self, number: usize) -> &[u8] {
        &self.bytes[self.starts[number]..self.starts[number + 1]]
    }
}

/// Sends this number of packets, each not before its time. Returns the duration.
fn send(
    wire: &Wire,
    frames: &mut Frames,
    mut again: impl FnMut(&mut Frames),
    packets: u64,
    pps: u64,
) -> io::Result<Duration> {
    let start = Instant::now();
    let batch = match pps {
        0 => MAX_PACKETS as u64,
        pps => (pps * PERIOD.as_micros() as u64 / 1_000_000).clamp(1, MAX_PACKETS as u64),
    };
    let (mut sent, mut next) = (0, 0);
    while sent < packets {
        let mut due = (packets - sent).min(batch);
        if pps > 0 {
            let by_now = (start.elapsed().as_nanos() * u128::from(pps) / 1_000_000_000) as u64 + 1;
            if by_now <= sent {
                std::thread::sleep(PERIOD / 2);
                continue;
            }
            due = due.min(by_now - sent);
        }
        // A call does not cross the end of the capture.
        let count = (due as usize).min(frames.count() - next);
        let count_sent = wire.send((next..next + count).map(|number| frames.get(number)))?;
        sent += count_sent as u64;
        next += count_sent;
        if next == frames.count() {
            next = 0;
            again(frames);
        }
    }
    Ok(start.elapsed())
}

/// A socket that sends frames unchanged.
struct Wire(OwnedFd);

impl Wire {
    fn open(interface: &str) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{interface}: {error}"));
        // Without a protocol, the socket receives nothing.
        let socket: OwnedFd = Socket::new(Domain::PACKET, Type::RAW, None)?.into();
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: `name` is a valid C string during the call.
        #[allow(unsafe_code, reason = "no dependency has a safe function")]
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(named(io::Error::last_os_error()));
        }
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: index as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is a complete `sockaddr_ll`, and the size is correct.
        #[allow(unsafe_code, reason = "no dependency supports this address family")]
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        };
        match bound {
            0 => Ok(Self(socket)),
            _ => Err(named(io::Error::last_os_error())),
        }
    }

    /// Sends at most [`MAX_PACKETS`] frames with one call. Returns how many it sent. Tries again if the kernel has no
    /// space.
    fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut parts: Vec<_> = frames
            .take(MAX_PACKETS)
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut messages: Vec<_> = parts
            .iter_mut()
            .map(|part| libc::mmsghdr {
                msg_hdr: libc::msghdr {
                    msg_name: std::ptr::null_mut(),
                    msg_namelen: 0,
                    msg_iov: part,
                    msg_iovlen: 1,
                    msg_control: std::ptr::null_mut(),
                    msg_controllen: 0,
                    msg_flags: 0,
                },
                msg_len: 0,
            })
            .collect();
        loop {
            // SAFETY: each message points to one element of `parts`, which points to a frame. Both live during the
            // call, and the kernel only reads them.
            #[allow(unsafe_code, reason = "dependencies can only send one packet per call")]
            let count_sent = unsafe {
                libc::sendmmsg(
                    self.0.as_raw_fd(),
                    messages.as_mut_ptr(),
                    messages.len() as u32,
                    0,
                )
            };
            if let Ok(count_sent) = usize::try_from(count_sent) {
                return Ok(count_sent);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}
