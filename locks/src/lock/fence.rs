//! Fencing: a token that grows with every holder, and transactions that only the last holder
//! commits.

mod draw;

use diesel::result::QueryResult;

use self::draw::draw;
use super::resolve::refuse_unusable;
use super::{Lock, Prefix};
#[cfg(feature = "mysql")]
use crate::connection::{LockConnection, mysql};
use crate::error::Error;
use crate::name::FullName;
use crate::server_error::{ServerError, TableFault, in_step, retry_or_close};
use crate::statement::fence::{self as statements, Check, FenceRow, LastToken};
use crate::statement::transaction::probe_open;
use crate::timeout::Wait;
use crate::transaction::refuse_open;
use crate::wire::Wire;
#[cfg(feature = "mysql")]
use crate::wire::{abandon_on_panic, now};

/// Where a lock's tokens are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fencing<'n> {
    Off,
    InOwnDatabase,
    InDatabase(&'n str),
}

impl<'n> Lock<'n> {
    /// Fences the lock: acquiring it also draws a fencing token, a number that grows with every
    /// acquisition of the name, and [`transaction`](Self::transaction) commits only if no later
    /// holder has begun.
    ///
    /// A lock alone cannot promise that its holder is the only one for as long as it works: a
    /// connection can be lost while the holder does not notice, and in a cluster each node grants
    /// the lock. A fenced transaction writes the row of its token first. If another connection has
    /// drawn a later token, the transaction fails with [`Error::Superseded`] and nothing is
    /// committed; a draw waits for the transactions of earlier holders.
    /// [`LockGuard::fencing_token`] returns the token for systems other than the database.
    ///
    /// The tokens are in the table `diesel_locks_fences` of the lock's database:
    /// [`create_fences`](Self::create_fences) creates it, or a migration. They grow across
    /// restarts, and as long as no row is deleted.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// use diesel_locks::Lock;
    ///
    /// static CLOSING: Lock = Lock::new("close-the-books").fenced();
    ///
    /// fn close_the_books(conn: &mut MysqlConnection) -> QueryResult<usize> {
    ///     CLOSING.transaction(conn, |conn| diesel::sql_query("CALL close_the_books()").execute(conn))
    /// }
    /// ```
    ///
    /// # Acquiring a fenced lock
    ///
    /// Acquiring costs three more round trips, and the same errors as without the fence, and these:
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain
    ///   SQL or is one of Diesel's test transactions: the token has to be committed by itself.
    /// - [`Error::Timeout`], if the transaction of an earlier holder is still open at the timeout.
    ///   For this wait the rest of the timeout is rounded up to whole seconds.
    /// - [`Error::Unsupported`], if the table is missing, or the user lacks `SELECT`, `INSERT` or
    ///   `UPDATE` on it.
    ///
    /// A fenced lock is re-entrant as any other, but each acquisition draws a new token, on the
    /// same connection too. It supersedes those before it: pass the guard on instead of acquiring
    /// again.
    ///
    /// [`LockGuard::fencing_token`]: super::LockGuard::fencing_token
    pub const fn fenced(mut self) -> Self {
        self.fencing = Fencing::InOwnDatabase;
        self
    }

    /// The same as [`fenced`](Self::fenced), with the table in this database: for
    /// [`server_wide`](Self::server_wide) locks, which have none.
    ///
    /// All programs that use the lock must name the same database.
    ///
    /// ```
    /// use diesel_locks::Lock;
    ///
    /// static BACKUP: Lock = Lock::new("backup").server_wide().fenced_in("operations");
    /// # let _ = BACKUP;
    /// ```
    pub const fn fenced_in(mut self, database: &'n str) -> Self {
        self.fencing = Fencing::InDatabase(database);
        self
    }

    /// Creates the table of the fencing tokens in the connection's default database, unless it is
    /// there.
    ///
    /// The user needs the `CREATE` privilege. Programs with migrations create the table in one of
    /// them; the guide has its text.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, Lock};
    /// # fn set_up(conn: &mut MysqlConnection) -> Result<(), Error> {
    /// Lock::create_fences(conn)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] inside an open transaction, which `CREATE TABLE` would commit.
    /// [`Error::NoDatabase`], [`Error::Unsupported`], [`Error::ConnectionLost`], or
    /// [`Error::Diesel`] if the table cannot be created.
    #[cfg(feature = "mysql")]
    pub fn create_fences<Conn>(conn: &mut Conn) -> Result<(), Error>
    where
        Conn: LockConnection + ?Sized,
    {
        abandon_on_panic(mysql(conn)?, |conn| now(create_fences(conn)))
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.fencing != Fencing::Off
    }

    /// Refuses what cannot be fenced, before the lock is acquired.
    pub(super) fn refuse_unfenced(&self, conn: &mut impl Wire) -> Result<(), Error> {
        match (self.fencing, self.prefix) {
            (Fencing::InOwnDatabase, Prefix::None) => {
                return Err(Error::Unsupported {
                    what: format!("fencing the server-wide lock {}", self.name),
                    remedy: "it has no database for its tokens: name one with `fenced_in`"
                        .to_owned(),
                });
            }
            (Fencing::InDatabase(database), _) => refuse_unusable(database)?,
            _ => {}
        }
        refuse_open(conn)
    }

    /// Returns the database with the tokens of a lock that was acquired under this name.
    fn fences_of(&self, name: &FullName) -> String {
        match self.fencing {
            Fencing::InDatabase(database) => database,
            Fencing::Off | Fencing::InOwnDatabase => name.database().unwrap_or_default(),
        }
        .to_owned()
    }
}

pub(crate) async fn create_fences(conn: &mut impl Wire) -> Result<(), Error> {
    refuse_open(conn)?;
    in_step(TABLE, conn).await?;
    let refused = conn.batch(&probe_open()).await;
    let created = match refused {
        Ok(()) => conn.batch(statements::CREATE_TABLE).await,
        refused => refused,
    };
    match created {
        Ok(()) => Ok(()),
        Err(error) => Err(ServerError::diagnose(error, conn).await.into_error(TABLE)),
    }
}

const TABLE: &str = "diesel_locks_fences";

/// The token of one acquisition, and the database that keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    database: String,
    token: u64,
}

impl Fence {
    /// Draws the next token of a lock that the connection holds. `None` if an earlier holder's
    /// transaction was still open at the timeout.
    pub(super) async fn draw(
        lock: &Lock<'_>,
        name: &FullName,
        wait: &Wait,
        conn: &mut impl Wire,
    ) -> Result<Option<Self>, Error> {
        let database = lock.fences_of(name);
        let row = FenceRow { database: &database, name };
        let name_read = NameRead::begin(row, conn).await?;
        let drawn = draw(row, wait, conn).await;
        name_read.end(conn).await?;
        Ok(drawn?.map(|token| Self { database, token }))
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// Writes the token's row in the open transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Superseded`] if a later token was drawn. The transaction is left open.
    pub(crate) async fn check(&self, name: &FullName, conn: &mut impl Wire) -> Result<(), Error> {
        let row = FenceRow { database: &self.database, name };
        let name_read = NameRead::begin(row, conn).await?;
        let checked = self.check_row(row, conn).await;
        name_read.end(conn).await?;
        checked
    }

    async fn check_row(&self, row: FenceRow<'_>, conn: &mut impl Wire) -> Result<(), Error> {
        let failed = match conn.execute(Check::new(row, self.token)).await {
            Ok(1) => return Ok(()),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            return Err(error_for(row, ServerError::diagnose(error, conn).await));
        }
        // MariaDB 11.8 may answer an UPDATE that `KILL QUERY` hits with no rows and no error.
        let last: QueryResult<Option<u64>> = conn.row(LastToken(row)).await;
        match last {
            Ok(last) if last == Some(self.token) => {
                Err(Error::Interrupted { lock: row.name.to_string() })
            }
            Ok(_) => Err(Error::Superseded { lock: row.name.to_string(), token: self.token }),
            Err(error) => Err(error_for(row, ServerError::diagnose(error, conn).await)),
        }
    }
}

/// Makes the session read the database's name in the character set in which it is written. Names in
/// ASCII are the same in all of them.
struct NameRead {
    is_changed: bool,
}

impl NameRead {
    async fn begin(row: FenceRow<'_>, conn: &mut impl Wire) -> Result<Self, Error> {
        let is_changed = !row.database.is_ascii();
        if is_changed {
            if let Err(error) = conn.batch(&statements::begin_name()).await {
                let error = error_for(row, ServerError::diagnose(error, conn).await);
                retry_or_close(conn, &statements::end_name()).await?;
                return Err(error);
            }
        }
        Ok(Self { is_changed })
    }

    async fn end(self, conn: &mut impl Wire) -> Result<(), Error> {
        if self.is_changed { retry_or_close(conn, &statements::end_name()).await } else { Ok(()) }
    }
}

fn error_for(row: FenceRow<'_>, failed: ServerError) -> Error {
    let database = row.database;
    let remedy = match failed.table_fault() {
        Some(TableFault::Missing) => format!(
            "there is no table `{TABLE}` in the database `{database}`: create it with a migration, \
             or with `Lock::create_fences` on a connection to that database"
        ),
        Some(TableFault::Denied) => {
            format!("grant this user `SELECT`, `INSERT` and `UPDATE` on `{database}`.`{TABLE}`")
        }
        None => return failed.into_error(row.name.as_str()),
    };
    Error::Unsupported {
        what: format!("fencing the lock {}", row.name),
        remedy: format!("{remedy} ({})", failed.message()),
    }
}
