use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use super::*;

/// Time after which a test fails.
const HANGS: Duration = Duration::from_secs(60);

/// A server with a small page, a large one, and one that panics.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let large: Arc<str> = "x".repeat(64 << 20).into();
    let pages = move |path: &str| {
        let body = match path {
            "/" => "small\n".into(),
            "/large" => Arc::clone(&large),
            "/panic" => panic!("as the test asked for"),
            _ => return None,
        };
        Some(Page {
            status: 200,
            content_type: "text/plain",
            body,
        })
    };
    let mut server = Server::new(listener, Box::new(pages)).unwrap();
    let panics = flowloom::ThreadPanics::default();
    flowloom::spawn_supervised("flowloom-test", &panics, move || server.run()).unwrap();
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANGS)).unwrap();
    stream.set_write_timeout(Some(HANGS)).unwrap();
    stream
}

/// Returns the bytes until the server closes. A reset after the answer is an end too.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let start = Instant::now();
    let _ = stream.read_to_end(&mut bytes);
    assert!(start.elapsed() < HANGS, "the server does not close");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(request.as_ref());
    rest(stream)
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[track_caller]
fn is_served(address: SocketAddr) {
    let answer = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nsmall\n"), "{answer}");
}

#[test]
fn pages_are_served_and_the_connection_is_closed() {
    let address = serve();
    let answer = ask(address, "GET /?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\n\
         small\n"
    );
    let head = ask(address, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head, answer.replace("small\n", ""));
    let large = ask(address, "GET /large HTTP/1.0\r\n\r\n");
    assert!(large.len() > 64 << 20, "{} bytes came", large.len());
}

#[test]
fn every_other_request_has_its_status() {
    let address = serve();
    let many = |times: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(times));
    for (request, expected) in [
        ("GET /nothing HTTP/1.1\r\n\r\n".into(), "404"),
        ("POST / HTTP/1.1\r\n\r\n".into(), "405"),
        ("DELETE /nothing HTTP/1.1\r\n\r\n".into(), "404"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\n".into(),
            "413",
        ),
        (
            "GET / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n".into(),
            "413",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n".into(),
            "413",
        ),
        ("GET / HTTP/3.0\r\n\r\n".into(), "505"),
        ("GET /\r\n\r\n".into(), "400"),
        ("\0\0\0\0\r\n\r\n".into(), "400"),
        (many(65), "431"),
        (many(1_000_000), "431"),
        (format!("GET /{}", "a".repeat(1 << 20)), "431"),
        ("\r\n".repeat(1 << 20), "431"),
        // The first request alone has an answer.
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000), "200"),
    ] {
        let mut stream = connect(address);
        // The server closes while there is still something to send.
        let _ = stream.write_all(request.as_bytes());
        let mut first = [0; 12];
        let came = stream.read_exact(&mut first);
        // A reset may overtake the answer where the client sends far more than is ever read.
        if request.len() < connection::MAX_IGNORED {
            let answer = format!("{}{}", String::from_utf8_lossy(&first), rest(stream));
            assert_eq!(status(&answer), expected, "{request:.60}\n{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
            assert_eq!(answer.contains("Allow: GET, HEAD\r\n"), expected == "405");
        } else if came.is_ok() {
            assert_eq!(&first[9..], expected.as_bytes(), "{request:.60}");
        }
        is_served(address);
    }
}

#[test]
fn a_client_that_goes_away_early_is_no_trouble() {
    let address = serve();
    for request in [
        "",
        "GET",
        "GET / HTTP/1.1\r\n",
        "GET /large HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).unwrap();
        drop(stream);
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = rest(stream);
        let expected = match request {
            "" => "",
            _ if request.ends_with("\r\n\r\n") => "200",
            _ => "400",
        };
        assert_eq!(status(&answer), expected, "{request}");
        is_served(address);
    }
}

/// Does something to a connection every 10 ms until the server has closed it.
fn trickle(
    address: SocketAddr,
    start: &str,
    mut more: impl FnMut(&mut TcpStream) -> bool,
) -> String {
    let mut stream = connect(address);
    stream.write_all(start.as_bytes()).unwrap();
    let begun = Instant::now();
    while more(&mut stream) {
        assert!(begun.elapsed() < HANGS, "the connection stays open");
        thread::sleep(Duration::from_millis(10));
    }
    rest(stream)
}

#[test]
fn a_client_that_never_comes_to_an_end_is_ended() {
    let address = serve();
    // Nothing, or an endless header, one byte at a time.
    let answer = trickle(address, "", |_| false);
    assert_eq!(status(&answer), "408", "{answer}");
    let answer = trickle(address, "GET / HTTP/1.1\r\na: ", |stream| {
        stream.write_all(b"b").is_ok()
    });
    assert!(["", "408"].contains(&status(&answer)), "{answer}");
    // A body, one byte at a time: the server answers, and closes at the deadline.
    let request = "GET / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n";
    trickle(address, request, |stream| stream.write_all(b"b").is_ok());
    // A large answer that is read one byte at a time is cut.
    let mut taken = 0;
    let cut = trickle(address, "GET /large HTTP/1.1\r\n\r\n", |stream| {
        let is_open = stream.read(&mut [0]).is_ok_and(|len| len > 0);
        taken += 1;
        // Parts of the answer are still in transit. A write shows that the server has closed.
        is_open && stream.write_all(b"b").is_ok()
    });
    assert!(taken + cut.len() < 64 << 20);
    is_served(address);
}

#[test]
fn others_are_served_while_hostile_clients_hold_all_places() {
    let address = serve();
    let hold = |count: usize, request: &str| -> Vec<TcpStream> {
        let open = || {
            let mut stream = connect(address);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        };
        std::iter::repeat_with(open).take(count).collect()
    };
    for request in [
        "",
        "GET / HTTP/1.1\r\na: ",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /large HTTP/1.1\r\n\r\n",
    ] {
        // None of them reads or closes. The time is far too short for them to run out of theirs.
        let held = hold(500, request);
        for _ in 0..20 {
            is_served(address);
        }
        drop(held);
    }
}

#[test]
fn others_are_served_while_thousands_connect() {
    let address = serve();
    let (stop, stopped) = channel::<()>();
    let connected = Arc::new(AtomicU64::new(0));
    let flood = |stopped: std::sync::mpsc::Receiver<()>, connected: Arc<AtomicU64>| {
        move || {
            let mut held = std::collections::VecDeque::new();
            while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                if let Ok(stream) = TcpStream::connect(address) {
                    connected.fetch_add(1, Ordering::Relaxed);
                    held.push_back(stream);
                    held.truncate(100);
                }
            }
        }
    };
    let attacker = thread::spawn(flood(stopped, connected.clone()));
    while connected.load(Ordering::Relaxed) <= 100 {
        thread::yield_now();
    }
    // The attacker has the same address. A client that another one replaces gets 503, and tries again. How often
    // depends on the time that the system gives to each thread.
    let is_served_after_some_tries = || {
        let answers = (0..10_000).map(|_| ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        let mut served = answers.filter(|answer| answer.ends_with("\r\n\r\nsmall\n"));
        served.next().is_some()
    };
    assert!((0..20).all(|_| is_served_after_some_tries()));
    drop(stop);
    attacker.join().unwrap();
    is_served(address);
}

#[test]
fn the_server_survives_a_panic() {
    let address = serve();
    assert_eq!(ask(address, "GET /panic HTTP/1.1\r\n\r\n"), "");
    is_served(address);
}

#[test]
fn places_and_bytes_are_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::new(listener, Box::new(|_: &str| None)).unwrap();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = connect(address);
        client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let _ = client.write_all("a:b\r\n".repeat(100_000).as_bytes().split_at(60_000).0);
        clients.push(client);
        server.serve_once();
        assert!(server.connections.len() <= MAX_CONNECTIONS);
        assert!(
            server
                .connections
                .iter()
                .all(|connection| connection.bytes() <= request::MAX_BYTES)
        );
    }
}

#[test]
fn the_address_with_the_most_connections_gives_way_first() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::new(listener, Box::new(|_: &str| None)).unwrap();
    let mut open = |from: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let from: SocketAddr = format!("{from}:0").parse().unwrap();
        socket.bind(&from.into()).unwrap();
        let to: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        socket.connect(&to.into()).unwrap();
        server.serve_once();
        let peers: Vec<_> = server.connections.iter().map(Connection::peer).collect();
        (socket, peers)
    };
    // The oldest one is of an address that has no other.
    let honest = open("127.0.0.2");
    let mut hostile = Vec::new();
    for _ in 0..50 {
        hostile.push(open("127.0.0.3"));
    }
    let (_, peers) = hostile.last().unwrap();
    assert_eq!(peers.len(), MAX_CONNECTIONS);
    assert_eq!(peers[0], honest.1[0]);
}
