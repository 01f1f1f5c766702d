//! Ports for the servers that tests start.

use std::net::{Ipv4Addr, TcpListener};

/// Returns a port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
