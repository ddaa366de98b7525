//! Sends the packets of a capture over an interface at a rate, many with one call: quicker than programs
//! that send one at a time, so that a meter's limit is found before the sender's.

use std::error::Error;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use flowloom_bench::PcapReader;
use socket2::{Domain, Socket, Type};

/// The most packets of one call.
const MOST: usize = 64;

/// Packets that may go out together come within this time: a rate is even beyond it.
const EVEN: Duration = Duration::from_micros(200);

/// Sends the packets of a capture over an interface, and prints how many in how many seconds, as JSON.
#[derive(Parser)]
struct Arguments {
    /// The interface; its frames are Ethernet's.
    #[arg(short, long)]
    interface: String,
    /// Packets a second; 0 is as many as go.
    #[arg(long, default_value_t = 0)]
    pps: u64,
    /// How many packets: the capture is sent again and again. 0 is once.
    #[arg(long, default_value_t = 0)]
    packets: u64,
    /// Add one to all addresses of IPv4 every time that the capture is sent again, so that its flows are
    /// others. Checksums stay as they were.
    #[arg(long)]
    other_addresses: bool,
    /// The capture, which is read into memory before.
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

/// Frames, one behind the other.
struct Frames {
    bytes: Vec<u8>,
    /// Where each begins, and where the last one ends.
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
            1 => Err(io::Error::other("there is no packet in it")),
            _ => Ok(Self { bytes, starts }),
        }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Those of IPv4 right behind Ethernet's header.
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

/// Sends so many packets, each not before its time; says how long it took.
fn send(
    wire: &Wire,
    frames: &mut Frames,
    mut again: impl FnMut(&mut Frames),
    packets: u64,
    pps: u64,
) -> io::Result<Duration> {
    let start = Instant::now();
    let together = match pps {
        0 => MOST as u64,
        pps => (pps * EVEN.as_micros() as u64 / 1_000_000).clamp(1, MOST as u64),
    };
    let (mut sent, mut next) = (0, 0);
    while sent < packets {
        let mut due = (packets - sent).min(together);
        if pps > 0 {
            let by_now = (start.elapsed().as_nanos() * u128::from(pps) / 1_000_000_000) as u64 + 1;
            if by_now <= sent {
                std::thread::sleep(EVEN / 2);
                continue;
            }
            due = due.min(by_now - sent);
        }
        // Not over the end of the capture.
        let count = (due as usize).min(frames.count() - next);
        let gone = wire.send((next..next + count).map(|number| frames.get(number)))?;
        sent += gone as u64;
        next += gone;
        if next == frames.count() {
            next = 0;
            again(frames);
        }
    }
    Ok(start.elapsed())
}

/// A socket that frames go out of as they are.
struct Wire(OwnedFd);

impl Wire {
    fn open(interface: &str) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{interface}: {error}"));
        // Of no protocol: it receives nothing.
        let socket: OwnedFd = Socket::new(Domain::PACKET, Type::RAW, None)?.into();
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: `name` ends with a zero, and lives.
        #[allow(unsafe_code, reason = "the libraries that we have do not know it")]
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
        // SAFETY: the address is a whole one of its family, of the size that is said.
        #[allow(
            unsafe_code,
            reason = "the libraries that we have do not know this family"
        )]
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

    /// Sends at most [`MOST`] frames with one call, and says how many went out. What there is no room for
    /// now is tried again.
    fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut parts: Vec<_> = frames
            .take(MOST)
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
            // SAFETY: every message has one part, which lives as long as `parts`, and that is of a frame
            // that lives as long as `frames` said; the kernel reads them only.
            #[allow(unsafe_code, reason = "the libraries that we have send one at a time")]
            let gone = unsafe {
                libc::sendmmsg(
                    self.0.as_raw_fd(),
                    messages.as_mut_ptr(),
                    messages.len() as u32,
                    0,
                )
            };
            if let Ok(gone) = usize::try_from(gone) {
                return Ok(gone);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}
