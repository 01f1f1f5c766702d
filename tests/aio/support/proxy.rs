//! A TCP proxy between a connection and the server, which counts round trips.
//!
//! A client's packet with the sequence number 0 is a command; packets are framed by a length of
//! three bytes and that number.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::database::server_url;

/// A proxy; all connections made through it are counted together. Dropping it cuts them.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
    links: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Shared {
    /// The clients' packets.
    packets: Mutex<Vec<Vec<u8>>>,
    plan: Mutex<Plan>,
}

/// When to cut a connection.
#[derive(Default)]
struct Plan {
    /// How many requests to forward before.
    requests: Option<usize>,
    /// Whether the server gets the next one, and only its answer is lost.
    answered: bool,
    was_cut: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let links = Arc::new(Mutex::new(Vec::new()));
        let (used, kept) = (Arc::clone(&shared), Arc::clone(&links));
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let used = Arc::clone(&used);
                lock(&kept).push(tokio::spawn(async move { link(client, used).await }));
            }
        });
        Self { address, shared, listening, links }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the round trips that were made since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.take_packets().iter().filter_map(|packet| describe(packet)).collect()
    }

    /// Returns the packets that the clients have sent since the last call.
    pub(crate) fn take_packets(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut lock(&self.shared.packets))
    }

    /// Cuts the connection at the request that follows this many more requests; the server gets
    /// that one if it is to be answered.
    pub(crate) fn cut_after(&self, requests: usize, answered: bool) {
        let plan = Plan { requests: Some(requests), answered, was_cut: false };
        *lock(&self.shared.plan) = plan;
    }

    /// Returns whether that has happened, and cancels it.
    pub(crate) fn was_cut(&self) -> bool {
        std::mem::take(&mut *lock(&self.shared.plan)).was_cut
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        for link in lock(&self.links).drain(..) {
            link.abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn link(client: TcpStream, shared: Arc<Shared>) {
    let url = server_url();
    let host = url.host_str().unwrap();
    let server = TcpStream::connect((host, url.port().unwrap_or(3306))).await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // An error is the end of either connection, which ends the other.
    let answered = tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => false,
        cut = requests(&mut from_client, &mut to_server, &shared) => cut,
    };
    if answered {
        // The client hears no more, and the server must have done it before it sees the end.
        drop((from_client, to_client));
        let _ = from_server.read_u8().await;
    }
}

/// Forwards requests, until the connection ends or is cut. Returns whether the
/// server is to answer the last one.
async fn requests(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, shared: &Shared) -> bool {
    loop {
        let mut packet = vec![0; 4];
        if from.read_exact(&mut packet).await.is_err() {
            return false;
        }
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        if from.read_exact(&mut packet[4..]).await.is_err() {
            return false;
        }
        let cut = describe(&packet).and_then(|_| shared.plan_for_next());
        lock(&shared.packets).push(packet.clone());
        if cut == Some(false) || to.write_all(&packet).await.is_err() {
            return false;
        }
        if cut == Some(true) {
            return true;
        }
    }
}

impl Shared {
    /// Returns whether to cut at this request, and whether the server is to get it.
    fn plan_for_next(&self) -> Option<bool> {
        let mut plan = lock(&self.plan);
        let left = plan.requests.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        plan.requests = None;
        plan.was_cut = true;
        Some(plan.answered)
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
        0x03 => Some(format!("query: {text}")),
        0x16 => Some(format!("prepare: {text}")),
        0x17 => Some(format!("execute: statement {}", arguments[0])),
        other => Some(format!("command {other:#x}")),
    }
}
