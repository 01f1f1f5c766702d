//! All the ways to acquire a lock and to release it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use diesel::mysql::MysqlConnection;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_locks::{Error, Lock, LockSet, TableLock};

use crate::job::Job;

pub(crate) type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

pub(crate) struct Wanted<'n> {
    pub(crate) lock: Lock<'n>,
    /// A second lock for nesting, with a short timeout.
    pub(crate) second: Lock<'n>,
    /// Both of them, with the timeout of the first.
    pub(crate) set: LockSet,
    pub(crate) tables: TableLock,
}

/// The fate of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It takes effect at once.
    Done,
    Committed,
    RolledBack,
}

/// Returns the connection, unless the guard kept it.
type Run = fn(&Wanted<'_>, Pooled, &mut Job<'_>) -> Result<Option<Pooled>, Error>;

pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) end: End,
    pub(crate) run: Run,
}

const fn way(name: &'static str, end: End, run: Run) -> Way {
    Way { name, end, run }
}

pub(crate) const NAMED: [Way; 15] = [
    way("with", End::Done, |want, mut conn, job| {
        want.lock.with(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
    way("try_with", End::Done, |want, mut conn, job| {
        want.lock.try_with(&mut conn, |conn| job.body(conn)).map(|_| Some(conn))
    }),
    way("transaction", End::Committed, |want, mut conn, job| {
        want.lock.transaction(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
    way("fenced", End::Done, |want, mut conn, job| {
        want.lock.fenced().with(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
    way("fenced transaction", End::Committed, |want, mut conn, job| {
        want.lock.fenced().transaction(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
    way("fenced guard", End::Committed, |want, mut conn, job| {
        let mut guard = want.lock.fenced().acquire(&mut conn)?;
        job.ledger.token(job.place, job.connection, guard.fencing_token());
        guard.transaction(|conn| job.body(conn))?;
        guard.release()?;
        Ok(Some(conn))
    }),
    way("release", End::Done, |want, mut conn, job| {
        let mut guard = want.lock.acquire(&mut conn)?;
        job.body(&mut guard)?;
        guard.release()?;
        Ok(Some(conn))
    }),
    way("drop", End::Done, |want, mut conn, job| {
        let mut guard = want.lock.acquire(&mut conn)?;
        job.body(&mut guard)?;
        drop(guard);
        Ok(Some(conn))
    }),
    way("try_acquire", End::Done, |want, mut conn, job| {
        if let Some(mut guard) = want.lock.try_acquire(&mut conn)? {
            job.body(&mut guard)?;
            guard.release()?;
        }
        Ok(Some(conn))
    }),
    way("owned", End::Done, |want, conn, job| {
        let owned = want.lock.acquire_owned(conn);
        let mut guard = owned.map_err(Error::from)?;
        job.body(&mut guard)?;
        guard.release().map(Some)
    }),
    way("owned, dropped", End::Done, |want, conn, job| {
        let owned = want.lock.acquire_owned(conn);
        let mut guard = owned.map_err(Error::from)?;
        job.body(&mut guard)?;
        Ok(None)
    }),
    way("leak", End::Done, |want, mut conn, job| {
        want.lock.acquire(&mut conn)?.leak();
        let worked = catch_unwind(AssertUnwindSafe(|| job.body(&mut conn)));
        let released = want.lock.release(&mut conn);
        worked.unwrap_or_else(|panic| resume_unwind(panic))?;
        released.map(|()| Some(conn))
    }),
    way(NESTED, End::Done, |want, mut conn, job| {
        let mut guard = want.lock.acquire(&mut conn)?;
        // The order is random, so some of these deadlock.
        drop(want.second.acquire(&mut guard)?);
        job.body(&mut guard)?;
        guard.release()?;
        Ok(Some(conn))
    }),
    way("set", End::Done, |want, mut conn, job| {
        let mut guard = want.set.acquire(&mut conn)?;
        job.body(&mut guard)?;
        guard.release()?;
        Ok(Some(conn))
    }),
    way("set: transaction", End::Committed, |want, mut conn, job| {
        want.set.transaction(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
];

/// The way whose timeouts may come from its second lock.
pub(crate) const NESTED: &str = "nested";

pub(crate) const TABLES: [Way; 5] = [
    way("tables: with", End::Committed, |want, mut conn, job| {
        want.tables.with(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
    }),
    way("tables: release", End::Committed, |want, mut conn, job| {
        let mut guard = want.tables.acquire(&mut conn)?;
        job.body(&mut guard)?;
        guard.release()?;
        Ok(Some(conn))
    }),
    way("tables: rollback", End::RolledBack, |want, mut conn, job| {
        let mut guard = want.tables.acquire(&mut conn)?;
        job.body(&mut guard)?;
        guard.rollback()?;
        Ok(Some(conn))
    }),
    way("tables: drop", End::RolledBack, |want, mut conn, job| {
        let mut guard = want.tables.acquire(&mut conn)?;
        job.body(&mut guard)?;
        drop(guard);
        Ok(Some(conn))
    }),
    way("tables: owned", End::Committed, |want, conn, job| {
        let owned = want.tables.acquire_owned(conn);
        let mut guard = owned.map_err(Error::from)?;
        job.body(&mut guard)?;
        guard.release().map(Some)
    }),
];
