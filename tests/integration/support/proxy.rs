//! A TCP proxy between a connection and the server, which counts round trips and cuts connections.
//!
//! It knows as much of the protocol as it needs: packets are framed by a length of three bytes and
//! a sequence number, and a client's packet with the number 0 is a command.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::PATIENCE;
use super::server::{self, Admin};

/// When to cut a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the request.
    BeforeRequest,
    /// The server processes the request, but the client never gets the answer.
    BeforeAnswer,
    /// The client gets the first half of the answer.
    MidAnswer,
    /// The server has killed the connection before the request arrives, and reports it.
    Killed,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] =
        [Self::BeforeRequest, Self::BeforeAnswer, Self::MidAnswer, Self::Killed];
}

/// A proxy; all connections made through it are counted together. Dropping it cuts them.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Descriptions of the commands that expect an answer.
    requests: Vec<String>,
    /// How many requests to forward before the cut, and how to cut.
    plan: Option<(usize, Cut)>,
    /// Whether the plan was carried out.
    was_cut: bool,
    /// Whether packets are swallowed in both directions.
    is_silent: bool,
    closed: bool,
    sockets: Vec<TcpStream>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request, and returns how to cut it, if at all.
    fn note(&self, request: String) -> Option<Cut> {
        let mut state = self.lock();
        state.requests.push(request);
        self.changed.notify_all();
        match state.plan {
            Some((0, cut)) => {
                state.plan = None;
                Some(cut)
            }
            Some((ref mut before, _)) => {
                *before -= 1;
                None
            }
            None => None,
        }
    }

    fn cut(&self) {
        let mut state = self.lock();
        for socket in state.sockets.drain(..) {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        state.was_cut = true;
        self.changed.notify_all();
    }
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let proxy = Self { port, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.lock().closed {
                    return;
                }
                // A failure shows as a connection that cannot be made.
                let _ = client.and_then(|client| link(client, &shared));
            }
        });
        proxy
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Returns a description of each round trip that the closure makes.
    pub(crate) fn record(&self, body: impl FnOnce()) -> Vec<String> {
        self.shared.lock().requests.clear();
        body();
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// Fails, listing the requests, unless the closure makes exactly this many round trips.
    #[track_caller]
    pub(crate) fn expect(&self, what: &str, round_trips: usize, body: impl FnOnce()) {
        let requests = self.record(body);
        println!("{what}: {} round trips", requests.len());
        assert_eq!(requests.len(), round_trips, "{what}: {requests:#?}");
    }

    /// Cuts all connections at once.
    pub(crate) fn cut_now(&self) {
        self.shared.cut();
    }

    /// Forwards nothing any more, and leaves all connections open, as a network does that drops
    /// packets.
    pub(crate) fn silence(&self) {
        self.shared.lock().is_silent = true;
    }

    /// Cuts all connections at the request that follows this many more requests.
    pub(crate) fn cut_after(&self, requests: usize, cut: Cut) {
        let mut state = self.shared.lock();
        state.was_cut = false;
        state.plan = Some((requests, cut));
    }

    /// Returns whether the planned cut took place, and clears the plan.
    pub(crate) fn was_cut(&self) -> bool {
        let mut state = self.shared.lock();
        state.plan = None;
        state.was_cut
    }

    /// Blocks until a request that contains the text has been forwarded.
    pub(crate) fn until_requested(&self, text: &str) {
        let seen = |state: &mut State| !state.requests.iter().any(|request| request.contains(text));
        let (state, waited) =
            self.shared.changed.wait_timeout_while(self.shared.lock(), PATIENCE, seen).unwrap();
        assert!(!waited.timed_out(), "no request contains {text:?}: {:#?}", state.requests);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.cut();
        // Wakes the listener, so that it ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// How to treat the next piece of an answer.
#[derive(Default)]
struct Answer(AtomicU8);

impl Answer {
    const DISCARD: u8 = 1;
    const HALVE: u8 = 2;
}

fn link(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut server = TcpStream::connect(server::host())?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection_id = greet(&mut server, &mut client)?;
    shared.lock().sockets.extend([client.try_clone()?, server.try_clone()?]);

    let answer = Arc::new(Answer::default());
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let (next_answer, shared_there) = (Arc::clone(&answer), Arc::clone(shared));
    // An error is the end of either connection, which ends the other.
    thread::spawn(move || {
        let _ = answers(&from_server, &to_client, &next_answer, &shared_there);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let _ = requests(&client, &server, connection_id, &answer, &shared);
        let _ = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Forwards the server's first packet without its offer of TLS, which would hide the packets.
/// Returns the connection ID, which it contains.
fn greet(server: &mut TcpStream, client: &mut TcpStream) -> io::Result<u32> {
    const TLS: u8 = 0x08; // of the capabilities' second byte
    let mut packet = read_packet(server)?;
    let version = packet[5..].iter().position(|&byte| byte == 0).unwrap_or(0);
    // Header, protocol, version and its end.
    let id = 4 + 1 + version + 1;
    let connection_id = packet[id..].first_chunk().map_or(0, |id| u32::from_le_bytes(*id));
    // Itself, first part of the salt, filler.
    let capabilities = id + 4 + 8 + 1;
    if let Some(second) = packet.get_mut(capabilities + 1) {
        *second &= !TLS;
    }
    client.write_all(&packet)?;
    Ok(connection_id)
}

fn read_packet(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

fn requests(
    client: &TcpStream,
    mut server: &TcpStream,
    connection_id: u32,
    answer: &Answer,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let packet = read_packet(client)?;
        if shared.lock().is_silent {
            continue;
        }
        if let Some(request) = describe(&packet) {
            match shared.note(request) {
                Some(Cut::BeforeRequest) => {
                    shared.cut();
                    return Ok(());
                }
                Some(Cut::BeforeAnswer) => answer.0.store(Answer::DISCARD, Ordering::SeqCst),
                Some(Cut::MidAnswer) => answer.0.store(Answer::HALVE, Ordering::SeqCst),
                Some(Cut::Killed) => {
                    shared.lock().was_cut = true;
                    let mut admin = Admin::new();
                    admin.kill_connection(connection_id.into());
                    admin.until_gone(connection_id.into());
                }
                None => {}
            }
        }
        server.write_all(&packet)?;
    }
}

fn answers(
    mut server: &TcpStream,
    mut client: &TcpStream,
    answer: &Answer,
    shared: &Shared,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = match server.read(&mut piece)? {
            0 => return Ok(()),
            length => length,
        };
        if shared.lock().is_silent {
            continue;
        }
        match answer.0.load(Ordering::SeqCst) {
            Answer::DISCARD => shared.cut(),
            Answer::HALVE => {
                client.write_all(&piece[..length / 2])?;
                shared.cut();
            }
            _ => client.write_all(&piece[..length])?,
        }
    }
}

/// Describes a command, if it is one that expects an answer.
fn describe(packet: &[u8]) -> Option<String> {
    let [_, _, _, 0, command, arguments @ ..] = packet else {
        return None;
    };
    let text = String::from_utf8_lossy(arguments);
    match command {
        // Ends the connection; sends a part of a long parameter; closes a statement.
        0x01 | 0x18 | 0x19 => None,
        // Oracle's client library puts a list of attributes before the text: none, in one set.
        0x03 => Some(format!("query: {}", text.strip_prefix("\0\u{1}").unwrap_or(&text))),
        0x0e => Some("ping".to_owned()),
        0x16 => Some(format!("prepare: {text}")),
        0x17 => Some(format!("execute: statement {}", arguments[0])),
        0x1b => Some(format!("multi-statements: {}", arguments[0] == 0)),
        other => Some(format!("command {other:#x}")),
    }
}
