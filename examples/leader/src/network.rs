//! A network between a replica and the server, which can be cut for a while.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

#[derive(Debug)]
pub(crate) struct Network {
    port: u16,
    cut: Arc<Cut>,
}

#[derive(Debug, Default)]
struct Cut {
    is_cut: Mutex<bool>,
    changed: Condvar,
}

impl Network {
    /// Forwards connections to the server at this host and port.
    pub(crate) fn to(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let network = Self { port: listener.local_addr()?.port(), cut: Arc::default() };
        let (server, cut) = (server.to_owned(), Arc::clone(&network.cut));
        thread::spawn(move || {
            for client in listener.incoming() {
                // A failure shows as a connection that cannot be made.
                let _ = client.and_then(|client| link(client, &server, &cut));
            }
        });
        Ok(network)
    }

    pub(crate) fn host(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Cuts the network, or mends it: what was sent in the meantime then arrives, late.
    pub(crate) fn set_cut(&self, is_cut: bool) {
        *self.cut.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.cut.changed.notify_all();
    }
}

fn link(client: TcpStream, server: &str, cut: &Arc<Cut>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        let cut = Arc::clone(cut);
        thread::spawn(move || {
            // An error is the end of either connection, which ends the other.
            let _ = forward(&from, &to, &cut);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
    Ok(())
}

fn forward(mut from: &TcpStream, mut to: &TcpStream, cut: &Cut) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece)?;
        let is_cut = cut.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(cut.changed.wait_while(is_cut, |is_cut| *is_cut));
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length])?;
    }
}
