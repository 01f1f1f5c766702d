//! The connection inside a guard.

use std::ops::DerefMut;

use diesel::mysql::MysqlConnection;

/// A connection that a guard has until its end: borrowed, or owned.
pub(crate) struct Lent<Conn>(Option<Conn>);

impl<Conn: DerefMut<Target = MysqlConnection>> Lent<Conn> {
    pub(crate) fn new(conn: Conn) -> Self {
        Self(Some(conn))
    }

    pub(crate) fn get(&self) -> &MysqlConnection {
        match &self.0 {
            Some(conn) => conn,
            None => taken(),
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut MysqlConnection {
        match &mut self.0 {
            Some(conn) => conn,
            None => taken(),
        }
    }

    /// For methods that consume the guard: the destructor finds nothing left to do.
    pub(crate) fn take(&mut self) -> Conn {
        self.0.take().unwrap_or_else(|| taken())
    }

    /// For the destructor.
    pub(crate) fn take_if_whole(&mut self) -> Option<Conn> {
        self.0.take()
    }
}

fn taken() -> ! {
    unreachable!("only methods that consume the guard take its connection")
}
