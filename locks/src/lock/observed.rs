//! Who holds a named lock, who waits for it, and which locks are held.

use std::collections::BTreeMap;

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;

use super::ask::{error_for, settled};
use super::{Holder, Lock, Waiter};
use crate::client::Client;
use crate::error::Error;
use crate::fault::{Fault, State};
use crate::server::facts::text;
use crate::server::survey::survey;
use crate::statement::Meaning;
use crate::statement::observe::{HeldRow, HeldWithPrefix, NameCase, Process, Waiting};

/// MariaDB lists so many characters of a name, and takes more.
const LISTED: usize = 64;

impl Lock<'_> {
    /// Whether any connection holds the lock.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for what [`acquire`](Self::acquire) refuses too,
    /// [`Error::NoDatabase`], [`Error::Interrupted`], or Diesel's.
    pub fn is_held(&self, conn: &mut MysqlConnection) -> Result<bool, Error> {
        Ok(self.holding_connection_id(conn)?.is_some())
    }

    /// The connection that holds the lock: what `CONNECTION_ID()` says there, and the process list.
    ///
    /// # Errors
    ///
    /// As of [`is_held`](Self::is_held).
    pub fn holding_connection_id(&self, conn: &mut MysqlConnection) -> Result<Option<u64>, Error> {
        settled(self, conn).map(|(_, holder)| holder)
    }

    /// The connection that holds the lock, and what it is doing, as far as this user may see.
    ///
    /// Of another user's connection servers tell the number, and the rest with the privilege
    /// `PROCESS`. Costs two round trips more than
    /// [`holding_connection_id`](Self::holding_connection_id) where the lock is held.
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
    /// As of [`is_held`](Self::is_held).
    pub fn holder(&self, conn: &mut MysqlConnection) -> Result<Option<Holder>, Error> {
        let (_, holder) = settled(self, conn)?;
        holder.map(|id| Ok(Holder::new(id, client(id, conn)?))).transpose()
    }

    /// The connections that wait for the lock, the longest wait first.
    ///
    /// It is read from `performance_schema`, which needs `SELECT` on it: on MySQL, and on MariaDB where
    /// it is on and its instrument `wait/lock/metadata/sql/mdl` too. Servers wake one of the waiters
    /// when the lock becomes free, not always the first.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the server does not tell, or not this user, and inside a table
    /// lock; it says what to do. On MariaDB also for a full name of more than 64 characters, of
    /// which it lists no more. Else as of [`is_held`](Self::is_held).
    pub fn waiters(&self, conn: &mut MysqlConnection) -> Result<Vec<Waiter>, Error> {
        let (name, _) = settled(self, conn)?;
        let facts = survey(conn)?;
        let what = "a list of who waits for a lock";
        facts
            .waiting_too()
            .map_err(|remedy| Error::Unsupported { what: what.to_owned(), remedy })?;
        let case = facts.name_case();
        if !name.is_shortened() && !is_listed(name.as_string()) {
            return Err(not_listed(what, name.as_string()));
        }
        let rows = Waiting { name: &name, case }
            .load(conn)
            .map_err(|error| error_for(&name, Fault::of(error, conn)))?;
        Ok(rows.into_iter().map(|(id, row)| Waiter::new(id, Client::read(row))).collect())
    }

    /// The locks of the connection's database whose names begin with a text, and the connections
    /// that hold them. Names are without the database, and the text is not a pattern: `%`, `_` and
    /// `\\` mean themselves. The empty text finds all.
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
    /// # Where it is read
    ///
    /// On MySQL in `performance_schema.metadata_locks`, which needs `SELECT` on
    /// `performance_schema.*`. On MariaDB in `information_schema.METADATA_LOCK_INFO`, of a plugin
    /// that an administrator loads once, with `INSTALL SONAME 'metadata_lock_info'`, and that
    /// everybody may read; without it, in `performance_schema`, where that is on and its instrument
    /// `wait/lock/metadata/sql/mdl` too. Leave the plugin loaded: MariaDB (seen on 10.11.19 and 11.8)
    /// crashes if it is unloaded at the very moment of a question.
    ///
    /// # What is shown
    ///
    /// - MySQL lists names in lower case, whatever they were taken by: `Invoice-7` is found by
    ///   `invoice-` and `INVOICE-`, and shown as `invoice-7`. On MariaDB case matters and is kept.
    /// - A [`server_wide`](Self::server_wide) lock is shown only if its name happens to begin with
    ///   the database and a dot.
    /// - A [`shortened`](Self::shortened) lock is shown as the server knows it: the rest of the first
    ///   23 characters, a `-` and the digits; not at all where the database alone has more than 22.
    /// - MariaDB lists the first 64 characters of a full name, so that longer ones are cut, and a
    ///   `?` or several for what is outside of the Basic Multilingual Plane.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the server does not tell, or not this user; it says what to do.
    /// On MariaDB also for a beginning that it would not list: of more than 64 characters with the
    /// database, or outside of the Basic Multilingual Plane. [`Error::NoDatabase`],
    /// [`Error::Interrupted`], or Diesel's.
    pub fn held_with_prefix(
        prefix: &str,
        conn: &mut MysqlConnection,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let facts = survey(conn)?;
        let listing = facts.held_locks().map_err(|remedy| Error::Unsupported {
            what: "a list of held locks".to_owned(),
            remedy,
        })?;
        if prefix.contains('\0') {
            // The servers refuse such names.
            return Ok(BTreeMap::new());
        }
        let case = facts.name_case();
        let rows = HeldWithPrefix { listing, case, prefix }
            .load::<HeldRow>(conn)
            .map_err(|error| Fault::of(error, conn).into_error("the list of held locks"))?;
        let (database, held) = read_held(rows);
        let beginning = format!("{}.{prefix}", database.ok_or(Error::NoDatabase)?);
        // On MySQL no lock can have a name that it does not list.
        if case == NameCase::Kept && !is_listed(&beginning) {
            return Err(not_listed("a list of the locks whose names begin so", &beginning));
        }
        Ok(held)
    }
}

/// The database, and the locks. A connection that has just ended has no number any more.
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

/// Whether a server that holds such a lock lists it by its name.
fn is_listed(name: &str) -> bool {
    name.chars().count() <= LISTED && name.chars().all(|c| c <= '\u{ffff}')
}

fn not_listed(what: &str, name: &str) -> Error {
    Error::Unsupported {
        what: format!("{what} ({name})"),
        remedy: format!(
            "the server lists the first {LISTED} characters of a full name, and none outside of \
             the Basic Multilingual Plane: use a shorter one"
        ),
    }
}

/// Fails where the connection is lost or the question was killed, and not where nothing can be found
/// out.
fn client(id: u64, conn: &mut MysqlConnection) -> Result<Client, Error> {
    for deprecated in [false, true] {
        match (Process { id, deprecated }).get_result(conn) {
            Ok((true, row)) => return Ok(Client::read(row)),
            Ok((false, _)) => {}
            Err(error) => {
                let fault = Fault::of(error, conn);
                match fault.state {
                    // The next one is for everybody: if that fails, it was killed.
                    State::Unknown if !deprecated => {}
                    State::Gone
                    | State::Unknown
                    | State::Known(
                        Meaning::Interrupted | Meaning::StatementLimit | Meaning::Unchecked,
                    ) => {
                        return Err(fault.into_error("the process list"));
                    }
                    State::Known(_) => {}
                }
            }
        }
    }
    Ok(Client::default())
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
