//! Sets of named locks.

#[cfg(feature = "mysql")]
mod acquire;
pub(crate) mod hold;
mod order;
pub(super) mod release;
mod wait;

use std::fmt;
use std::time::Duration;

use super::resolve::refuse_unusable;
use super::{Lock, Prefix};
use crate::error::Error;
use crate::name::FullName;
use crate::timeout::Timeout;

/// Several named locks that are acquired together: all of them, or none. Made by [`Lock::all`].
///
/// They are acquired in one order, which is the same for every client, so that two connections that
/// need the same locks never wait for each other, whatever order they name them in:
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::Lock;
///
/// diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
///
/// fn transfer(conn: &mut MysqlConnection, from: i32, to: i32, amount: i64) -> QueryResult<()> {
///     let locks = Lock::all([format!("account-{from}"), format!("account-{to}")]);
///     locks.transaction(conn, |conn| {
///         let balance = accounts::balance;
///         diesel::update(accounts::table.find(from))
///             .set(balance.eq(balance - amount))
///             .execute(conn)?;
///         diesel::update(accounts::table.find(to)).set(balance.eq(balance + amount)).execute(conn)?;
///         Ok(())
///     })
/// }
/// ```
///
/// The timeout is for all of them together. While the connection waits for one of them, it holds
/// those that come before it in the order.
///
/// # Deadlocks
///
/// The order is that of the names in lower case, as MySQL compares them, and then that of their
/// bytes. It makes deadlocks impossible among connections that acquire all of their locks by one
/// set each. A connection that holds another lock when it acquires a set can take part in one; the
/// server then ends one of the waits with [`Error::Deadlock`](crate::Error::Deadlock).
///
/// # Names
///
/// A name that is given twice counts once. Names that the server takes for one lock, such as `A`
/// and `a` on MySQL, may both be in a set; the lock is re-entrant. For
/// [`shortened`](Self::shortened) locks the order is that of the full names, so other programs
/// should not name them by what the server makes of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `LockSet` is only a description: nothing is locked until it is acquired"]
pub struct LockSet {
    /// In order.
    names: Vec<String>,
    timeout: Timeout,
    prefix: Prefix<String>,
    shortened: bool,
    at_least: Duration,
}

impl Lock<'_> {
    /// Describes several locks that are acquired together, with a timeout of 10 seconds for all of
    /// them.
    ///
    /// ```
    /// use diesel_locks::Lock;
    ///
    /// let (from, to) = (17, 4);
    /// let accounts = Lock::all([format!("account-{from}"), format!("account-{to}")]);
    /// # let _ = accounts;
    /// ```
    pub fn all<Names>(names: Names) -> LockSet
    where
        Names: IntoIterator<Item: AsRef<str>>,
    {
        let mut names: Vec<_> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        names.sort_unstable_by(|one, other| order::compare(one, other));
        names.dedup();
        LockSet {
            names,
            timeout: Timeout::After(Self::DEFAULT_TIMEOUT),
            prefix: Prefix::CurrentDatabase,
            shortened: false,
            at_least: Duration::ZERO,
        }
    }
}

impl LockSet {
    /// Returns the names, without a prefix, in the order in which the locks are acquired.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Sets the maximum time to wait for all of the locks together: see [`Lock::timeout`].
    ///
    /// A fraction of a second costs another round trip for each lock that is waited for alone, and
    /// none if all of them are free.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Waits forever, on both servers.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Prefixes the names with this database: see [`Lock::in_database`].
    pub fn in_database(mut self, database: &str) -> Self {
        self.prefix = Prefix::Database(database.to_owned());
        self
    }

    /// Leaves out the prefix: see [`Lock::server_wide`].
    pub fn server_wide(mut self) -> Self {
        self.prefix = Prefix::None;
        self
    }

    /// Makes names of any length usable: see [`Lock::shortened`].
    pub const fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }

    /// Holds the locks for at least this long after they were acquired: see
    /// [`Lock::hold_at_least`].
    pub const fn hold_at_least(mut self, time: Duration) -> Self {
        self.at_least = time;
        self
    }

    /// One of the locks, in this database if the set is in the connection's.
    fn lock<'s>(&'s self, name: &'s str, current: Option<&'s str>) -> Lock<'s> {
        let prefix = match (&self.prefix, current) {
            (Prefix::CurrentDatabase, None) => Prefix::CurrentDatabase,
            (Prefix::CurrentDatabase, Some(database)) => Prefix::Database(database),
            (Prefix::Database(database), _) => Prefix::Database(database.as_str()),
            (Prefix::None, _) => Prefix::None,
        };
        Lock { prefix, shortened: self.shortened, ..Lock::new(name) }
    }

    /// Returns the full names, in this database if the set is in the connection's and it is known.
    fn full_names(&self, names: &[String], current: Option<&str>) -> Result<Vec<FullName>, Error> {
        let mut full = Vec::<FullName>::with_capacity(names.len());
        for name in names {
            // Guessed once: another thread may change the guess before the next name.
            full.push(match full.first().and_then(FullName::checked_database) {
                Some(guessed) => {
                    refuse_unusable(name)?;
                    FullName::in_current(guessed, name, self.shortened)
                }
                None => self.lock(name, current).guess()?,
            });
        }
        Ok(full)
    }

    fn is_in_current_database(&self) -> bool {
        matches!(self.prefix, Prefix::CurrentDatabase)
    }

    /// Returns the connection's database, if that is in the full name.
    fn database_of(&self, full: &FullName, name: &str) -> Option<String> {
        let database = full.as_str().strip_suffix(name)?.strip_suffix('.')?;
        self.is_in_current_database().then(|| database.to_owned())
    }
}

/// The names: `account-1, account-2`.
impl fmt::Display for LockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}
