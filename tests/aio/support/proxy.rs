//! A TCP proxy between a connection and the server, which counts round trips.
//!
//! A client's packet with the sequence number 0 is a command; packets are framed by a length of three
//! bytes and that number.
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
    requests: Requests,
    listening: JoinHandle<()>,
    links: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

type Requests = Arc<Mutex<Vec<String>>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Requests::default();
        let links = Arc::new(Mutex::new(Vec::new()));
        let (noted, kept) = (Arc::clone(&requests), Arc::clone(&links));
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                lock(&kept).push(tokio::spawn(async move { link(client, noted).await }));
            }
        });
        Self { address, requests, listening, links }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the round trips that were made since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.requests))
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

async fn link(client: TcpStream, noted: Requests) {
    let url = server_url();
    let host = url.host_str().unwrap();
    let server = TcpStream::connect((host, url.port().unwrap_or(3306))).await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // An error is the end of either connection, which ends the other.
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        () = requests(&mut from_client, &mut to_server, &noted) => {}
    }
}

async fn requests(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, noted: &Requests) {
    loop {
        let mut packet = vec![0; 4];
        if from.read_exact(&mut packet).await.is_err() {
            return;
        }
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        if from.read_exact(&mut packet[4..]).await.is_err() {
            return;
        }
        lock(noted).extend(describe(&packet));
        if to.write_all(&packet).await.is_err() {
            return;
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
        0x03 => Some(format!("query: {text}")),
        0x16 => Some(format!("prepare: {text}")),
        0x17 => Some(format!("execute: statement {}", arguments[0])),
        other => Some(format!("command {other:#x}")),
    }
}
