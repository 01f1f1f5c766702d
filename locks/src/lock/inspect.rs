//! Who holds a named lock, who waits for it, and which locks are held.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::resolve::{error_for, resolve};
use super::{Holder, Lock, Waiter};
#[cfg(feature = "mysql")]
use crate::connection::{LockConnection, mysql};
use crate::error::Error;
use crate::name::hexadecimal;
use crate::process::Process;
use crate::server::inspect::inspect;
use crate::server::text;
use crate::server_error::{ErrorKind, ServerError};
use crate::statement::inspect::{HeldRow, HeldWithPrefix, NameCase, OneProcess, Waiting};
use crate::wire::Wire;
#[cfg(feature = "mysql")]
use crate::wire::now;

/// MariaDB lists this many characters of a name, and accepts more.
const LISTED: usize = 64;

#[cfg(feature = "mysql")]
impl Lock<'_> {
    /// Returns whether any connection holds the lock.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for a name that [`acquire`](Self::acquire) refuses too,
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::ConnectionLost`],
    /// [`Error::Unsupported`] or [`Error::Diesel`].
    pub fn is_held<Conn>(&self, conn: &mut Conn) -> Result<bool, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        Ok(self.holding_connection_id(conn)?.is_some())
    }

    /// Returns the ID of the connection that holds the lock: its `CONNECTION_ID()`, which is also
    /// its ID in the process list.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// The same as [`is_held`](Self::is_held).
    pub fn holding_connection_id<Conn>(&self, conn: &mut Conn) -> Result<Option<u64>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(resolve(self, mysql(conn)?)).map(|(_, holder)| holder)
    }

    /// Returns the connection that holds the lock, and what it is doing, as far as this user may
    /// see.
    ///
    /// For a connection that belongs to another user, only the ID is available unless you have the
    /// `PROCESS` privilege. If the lock is held, this costs two round trips more than
    /// [`holding_connection_id`](Self::holding_connection_id).
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, Lock};
    /// # fn wake(conn: &mut MysqlConnection) -> Result<(), Error> {
    /// if let Some(holder) = Lock::new("nightly-report").holder(conn)? {
    ///     println!("{holder}"); // connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`is_held`](Self::is_held).
    pub fn holder<Conn>(&self, conn: &mut Conn) -> Result<Option<Holder>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(holder(self, mysql(conn)?))
    }

    /// Returns the connections that wait for the lock, the longest wait first.
    ///
    /// They are read from `performance_schema`, which needs the `SELECT` privilege on it. On
    /// MariaDB it must be switched on, and so must its instrument `wait/lock/metadata/sql/mdl`.
    /// When the lock becomes free, the servers wake one of the waiters, not always the first.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not expose this information, if the user lacks the
    /// privilege, or while a table lock is held; the message says what to do. On MariaDB also for a
    /// full name of more than 64 characters, since it lists no more of a name. Otherwise the same
    /// as [`is_held`](Self::is_held).
    pub fn waiters<Conn>(&self, conn: &mut Conn) -> Result<Vec<Waiter>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(waiters(self, mysql(conn)?))
    }

    /// Returns the held locks of the connection's database whose names begin with `prefix`, each
    /// with the ID of the connection that holds it. Names are without the database. The prefix is
    /// not a pattern: `%`, `_` and `\\` mean themselves. An empty prefix finds all.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, Lock};
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), Error> {
    /// for (name, connection_id) in Lock::held_with_prefix("invoice-", conn)? {
    ///     println!("{name} is held by connection {connection_id}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Where the locks are listed
    ///
    /// On MySQL they are read from `performance_schema.metadata_locks`, which needs the `SELECT`
    /// privilege on `performance_schema.*`. On MariaDB they are read from
    /// `information_schema.METADATA_LOCK_INFO`. Every user may read this table, but it belongs to a
    /// plugin that an administrator loads once, with `INSTALL SONAME 'metadata_lock_info'`. Without
    /// the plugin they are read from `performance_schema`, if that is switched on and its
    /// instrument `wait/lock/metadata/sql/mdl` too. Leave the plugin loaded: MariaDB (seen on
    /// 10.11.19 and 11.8) crashes if it is unloaded during a query.
    ///
    /// # What is listed
    ///
    /// - MySQL lists names in lower case, whatever case they were acquired in: `Invoice-7` is found
    ///   by `invoice-` and `INVOICE-`, and listed as `invoice-7`. MariaDB keeps the case, and it
    ///   matters.
    /// - A [`server_wide`](Self::server_wide) lock is listed only if its name happens to begin with
    ///   the database and a dot.
    /// - A [`shortened`](Self::shortened) lock is listed as the server knows it: the rest of the
    ///   first 23 characters, a `-` and the digits. It is not listed if the database alone has more
    ///   than 22 characters.
    /// - MariaDB lists the first 64 characters of a full name, so longer ones are cut, and one or
    ///   several `?` for characters outside of the Basic Multilingual Plane.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not list the locks, or if the user lacks the
    /// privilege; the message says what to do. On MariaDB also for a prefix that it would not list:
    /// of more than 64 characters with the database, or outside of the Basic Multilingual Plane.
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::ConnectionLost`] or
    /// [`Error::Diesel`].
    pub fn held_with_prefix<Conn>(
        prefix: &str,
        conn: &mut Conn,
    ) -> Result<BTreeMap<String, u64>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(held_with_prefix(prefix, mysql(conn)?))
    }
}

pub(crate) async fn holder(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<Option<Holder>, Error> {
    let (_, holder) = resolve(lock, conn).await?;
    let Some(id) = holder else { return Ok(None) };
    Ok(Some(Holder { process: process(id, conn).await? }))
}

pub(crate) async fn waiters(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<Vec<Waiter>, Error> {
    let (name, _) = resolve(lock, conn).await?;
    let server = inspect(conn).await?;
    let what = "listing the connections that wait for a lock";
    server
        .waiter_listing()
        .map_err(|remedy| Error::Unsupported { what: what.to_owned(), remedy })?;
    if !name.is_shortened() && !is_listed(name.as_str()) {
        return Err(not_listed(what, name.as_str()));
    }
    let rows = match conn.rows(Waiting { name: &name, case: server.name_case() }).await {
        Ok(rows) => rows,
        Err(error) => return Err(error_for(&name, ServerError::diagnose(error, conn).await)),
    };
    let listed = rows.into_iter().filter(|(id, _)| *id != 0);
    let mut waiters: Vec<_> =
        listed.map(|(id, row)| Waiter { process: Process::read(id, row) }).collect();
    waiters.sort_by_key(|waiter| (Reverse(waiter.process.in_state), waiter.process.id));
    Ok(waiters)
}

pub(crate) async fn held_with_prefix(
    prefix: &str,
    conn: &mut impl Wire,
) -> Result<BTreeMap<String, u64>, Error> {
    let server = inspect(conn).await?;
    let listing = server
        .lock_listing()
        .map_err(|remedy| Error::Unsupported { what: "listing held locks".to_owned(), remedy })?;
    if prefix.contains('\0') {
        // The servers refuse such names.
        return Ok(BTreeMap::new());
    }
    let case = server.name_case();
    let digits = hexadecimal(prefix.as_bytes());
    let rows: Vec<HeldRow> =
        match conn.rows(HeldWithPrefix { listing, case, prefix: &digits }).await {
            Ok(rows) => rows,
            Err(error) => {
                let error = ServerError::diagnose(error, conn).await;
                return Err(error.into_error("the list of held locks"));
            }
        };
    let (database, held) = read_held(rows);
    let beginning = format!("{}.{prefix}", database.ok_or(Error::NoDatabase)?);
    // On MySQL no lock can have a name that it does not list.
    if case == NameCase::Kept && !is_listed(&beginning) {
        return Err(not_listed("listing the locks with this prefix", &beginning));
    }
    Ok(held)
}

/// Returns the database, and the locks. A connection that has just ended has no ID any more.
fn read_held(rows: Vec<HeldRow>) -> (Option<String>, BTreeMap<String, u64>) {
    let mut here = None;
    let mut held = BTreeMap::new();
    for (database, name, id) in rows {
        here = here.or_else(|| text(database));
        if let (Some(name), Some(id)) = (text(name), id) {
            held.insert(name, id);
        }
    }
    (here, held)
}

/// Returns whether a server that holds such a lock lists it by its name.
fn is_listed(name: &str) -> bool {
    name.chars().count() <= LISTED && name.chars().all(|c| c <= '\u{ffff}')
}

fn not_listed(what: &str, name: &str) -> Error {
    Error::Unsupported {
        what: format!("{what} ({name})"),
        remedy: format!(
            "the server lists the first {LISTED} characters of a full name, and none outside of the \
             Basic Multilingual Plane, so use a shorter name"
        ),
    }
}

/// Fails if the connection is lost or the query was killed, and not if nothing can be found out.
async fn process(id: u64, conn: &mut impl Wire) -> Result<Process, Error> {
    for deprecated in [false, true] {
        match conn.row(OneProcess { id, deprecated }).await {
            Ok((true, row)) => return Ok(Process::read(id, row)),
            Ok((false, _)) => {}
            Err(error) => {
                let error = ServerError::diagnose(error, conn).await;
                match error.kind {
                    // The next one is for every user: if that fails, it was killed.
                    ErrorKind::Unknown | ErrorKind::Undiagnosed if !deprecated => {}
                    ErrorKind::ConnectionLost
                    | ErrorKind::Unknown
                    | ErrorKind::Undiagnosed
                    | ErrorKind::Interrupted
                    | ErrorKind::StatementTimeout
                    | ErrorKind::Unchecked => return Err(error.into_error("the process list")),
                    _ => {}
                }
            }
        }
    }
    Ok(Process::unknown(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_listed_lock_with_a_holder_is_read(
            held in prop::collection::btree_map(".{0,20}", any::<u64>(), 0..10),
            gone in prop::collection::vec(".{0,20}", 0..3),
        ) {
            let bytes = |name: &String| Some(name.clone().into_bytes());
            let shop = || Some(b"shop".to_vec());
            let mut rows: Vec<HeldRow> =
                held.iter().map(|(name, id)| (shop(), bytes(name), Some(*id))).collect();
            rows.extend(gone.iter().map(|name| (shop(), bytes(name), None)));
            // Where none is held there is one row.
            rows.push((shop(), None, None));
            prop_assert_eq!(read_held(rows), (Some("shop".to_owned()), held));
        }

        #[test]
        fn a_listed_name_has_few_characters_all_of_the_basic_plane(name in "[a-zé\u{10000}]{0,70}") {
            let few = name.chars().count() <= 64;
            prop_assert_eq!(is_listed(&name), few && !name.contains('\u{10000}'));
        }
    }
}
