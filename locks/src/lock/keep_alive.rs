//! Keeps a lock alive from a thread, and learns of its loss.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::LockGuard;
use super::guard::begin;
use super::lease::{self, AGAIN, SHORTEST, idle_seconds, set_idle};
use super::release::HeldLock;
use crate::connection::{LockConnection, mysql};
use crate::error::{Error, FromDieselError};
use crate::scope::{Ending, Held, Scope};
use crate::server_error::connection_lost;
use crate::wire::{abandon_on_panic, catch_panic, now};

/// The longest minimum that a release waits for.
const A_YEAR: Duration = Duration::from_secs(31_536_000);

/// How long a drop waits for the release.
const DROP: Duration = Duration::from_secs(1);

impl<Conn: LockConnection + Send + 'static> LockGuard<Conn> {
    /// Keeps the lock alive: a thread asks the server each interval whether the lock is still held.
    ///
    /// Until then only that thread uses the connection, so the work is done on others; the guard
    /// must own its connection. The queries keep the server from closing the connection as idle.
    /// The session's own `wait_timeout` is set to the next whole second above the interval plus
    /// [`KeptLock::GRACE`], and put back at the end. So a holder whose process is stopped or whose
    /// network is cut loses the lock within that time, instead of the server's eight hours.
    ///
    /// One round trip each interval, three to begin and four to end. An interval shorter than 10
    /// milliseconds is one of 10.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, Lock};
    /// # use std::time::Duration;
    /// # fn import(_: &mut MysqlConnection) -> Result<bool, Error> { Ok(true) }
    /// # fn run(conn: MysqlConnection, other: &mut MysqlConnection) -> Result<(), Error> {
    /// let kept = Lock::new("import").acquire_owned(conn)?.keep_alive(Duration::from_secs(5))?;
    /// while kept.is_held() && import(other)? {} // in steps, on another connection
    /// kept.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLost`], [`Error::Interrupted`] or [`Error::Diesel`] if `wait_timeout`
    /// cannot be set, and [`Error::Unsupported`] if the system starts no thread. The lock is
    /// released then, and the connection is dropped.
    pub fn keep_alive(self, every: Duration) -> Result<KeptLock<Conn>, Error> {
        let every = every.max(SHORTEST);
        let idle = idle_seconds(every);
        let mut scope = self.into_scope();
        let held = scope.held().clone();
        // Before the session is changed, since this may fail.
        let (hand_over, handed_over) =
            mpsc::channel::<(Scope<Conn, HeldLock>, Arc<Shared<Conn>>)>();
        let keeper = thread::Builder::new().name("diesel-locks-keep-alive".to_owned());
        let keeper = keeper.spawn(move || {
            if let Ok((scope, shared)) = handed_over.recv() {
                keep(scope, &shared, every, idle);
            }
        });
        if let Err(error) = keeper {
            return Err(Error::Unsupported {
                what: "keeping a lock alive".to_owned(),
                remedy: format!("the system has not started a thread ({error})"),
            });
        }
        let asked = Instant::now();
        let (held_there, conn) = scope.parts();
        let lock = held_there.lock();
        mysql(conn)
            .and_then(|conn| abandon_on_panic(conn, |conn| now(set_idle(idle, lock, conn))))?;
        let shared = Arc::new(Shared::new(asked + lease::lease(idle)));
        // The thread waits for it.
        let _ = hand_over.send((scope, Arc::clone(&shared)));
        Ok(KeptLock { held, idle, shared })
    }
}

/// A named lock that a thread keeps alive: see [`LockGuard::keep_alive`].
///
/// Dropping it releases the lock. A drop waits for that one second at most; where the server does
/// not answer, the thread and the connection end when the operating system gives the connection up,
/// which may take minutes.
#[must_use = "dropping it releases the lock immediately: `let _kept = …` keeps it"]
#[clippy::has_significant_drop]
pub struct KeptLock<Conn: LockConnection> {
    /// The same as the thread has.
    held: HeldLock,
    /// After how many seconds of silence the server frees the lock.
    idle: u64,
    shared: Arc<Shared<Conn>>,
}

impl<Conn: LockConnection> KeptLock<Conn> {
    /// How much longer than the interval the server waits for the next query before it frees the
    /// lock, at least: 5 seconds.
    pub const GRACE: Duration = lease::GRACE;

    /// Returns whether the lock is held, without asking the server.
    ///
    /// It is false as soon as the thread has learned of a loss, and before the server can have
    /// freed the lock because it has heard nothing: a process that was stopped sees it as soon as
    /// it goes on. It stays false then. It is true for up to one interval after a connection was
    /// killed at the server. Time during which the whole machine is suspended may not count: a
    /// [fenced](crate::Lock::fenced) lock makes such a holder's transactions fail.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.shared.lock().is_held()
    }

    /// Blocks until the lock is lost, or for this long: returns whether it is lost.
    #[must_use]
    pub fn wait_until_lost(&self, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        let mut state = self.shared.lock();
        loop {
            let time = Instant::now();
            if !state.is_held() {
                return true;
            }
            if until.is_some_and(|until| time >= until) {
                return false;
            }
            let end = until.map_or(state.held_until, |until| until.min(state.held_until));
            state = self.shared.wait(state, end.saturating_duration_since(time));
        }
    }

    /// Returns the fencing token of the lock, or `None` if it is not [fenced](crate::Lock::fenced).
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.held.fencing_token()
    }

    /// Runs the body in a transaction on another connection, which is committed only if no later
    /// holder of the fenced lock has begun.
    ///
    /// The connection must be one to the same server, or to the same cluster. Its default database
    /// does not matter. During the transaction its `wait_timeout` is that of the lock's own
    /// connection: a later holder waits for an open transaction, so one whose process is stopped or
    /// whose network is cut has to end, too. A body that sends nothing for as long as
    /// [`GRACE`](Self::GRACE) may lose its connection.
    ///
    /// # Errors
    ///
    /// The same as [`LockGuard::transaction`], and [`Error::Unsupported`] if the lock is not
    /// [fenced](crate::Lock::fenced): nothing would tie the transaction to the lock.
    pub fn transaction<Other, T, E>(
        &self,
        conn: &mut Other,
        body: impl FnOnce(&mut Other) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Other: LockConnection + ?Sized,
        E: FromDieselError,
    {
        if self.fencing_token().is_none() {
            return Err(DieselError::from(Error::Unsupported {
                what: format!("a transaction on another connection under {}", self.held.lock()),
                remedy: "only a fence ties it to the lock: use `Lock::fenced`".to_owned(),
            })
            .into());
        }
        let held = mysql(conn)
            .and_then(|conn| begin(&self.held, Some(self.idle), conn))
            .map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    /// Releases the lock, and returns the connection.
    ///
    /// # Errors
    ///
    /// The same as [`LockGuard::release`]. Where the server does not answer,
    /// [`Error::ConnectionLost`] after [`GRACE`](Self::GRACE), or once the server must have freed
    /// the lock if that is later; the thread and the connection end when the operating system gives
    /// the connection up.
    pub fn release(self) -> Result<Conn, Error> {
        let mut state = self.shared.lock();
        let answer = Instant::now() + Self::GRACE + self.held.minimum_rest().min(A_YEAR);
        let patience = state.held_until.max(answer);
        state = self.shared.end(state, Wish::Release, patience);
        state.ended.take().unwrap_or_else(|| {
            state.wish = Wish::Drop;
            let reason = "the server has not answered in time";
            Err(connection_lost(DieselError::DeserializationError(reason.into())))
        })
    }
}

impl<Conn: LockConnection> Drop for KeptLock<Conn> {
    fn drop(&mut self) {
        let state = self.shared.lock();
        let ended = self.shared.end(state, Wish::Drop, Instant::now() + DROP).ended.take();
        // A connection may take a while to close, so not while the state is locked.
        drop(ended);
    }
}

impl<Conn: LockConnection> fmt::Debug for KeptLock<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLock")
            .field("lock", &self.held.lock())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

/// What the thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Keep,
    /// And return the connection.
    Release,
    /// And drop the connection.
    Drop,
}

struct Shared<Conn> {
    state: Mutex<State<Conn>>,
    changed: Condvar,
}

struct State<Conn> {
    wish: Wish,
    /// The server does not free the lock before, unless it is asked to.
    held_until: Instant,
    is_lost: bool,
    has_ended: bool,
    /// How the lock ended, if that is still wanted.
    ended: Option<Result<Conn, Error>>,
}

impl<Conn> State<Conn> {
    fn is_held(&self) -> bool {
        !self.is_lost && Instant::now() < self.held_until
    }
}

impl<Conn> Shared<Conn> {
    fn new(held_until: Instant) -> Self {
        let state =
            State { wish: Wish::Keep, held_until, is_lost: false, has_ended: false, ended: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<Conn>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, or for this long.
    fn wait<'s>(
        &self,
        state: MutexGuard<'s, State<Conn>>,
        time: Duration,
    ) -> MutexGuard<'s, State<Conn>> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Makes the thread end, and waits for that, but not beyond `until`.
    fn end<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<Conn>>,
        wish: Wish,
        until: Instant,
    ) -> MutexGuard<'s, State<Conn>> {
        state.wish = wish;
        self.changed.notify_all();
        while !state.has_ended {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            state = self.wait(state, rest);
        }
        state
    }
}

/// The thread: asks each interval, until the lock is lost or is to be released.
fn keep<Conn: LockConnection>(
    mut scope: Scope<Conn, HeldLock>,
    shared: &Shared<Conn>,
    every: Duration,
    idle: u64,
) {
    let mut next = Instant::now() + every;
    let mut state = shared.lock();
    let failed = loop {
        let time = Instant::now();
        if state.wish != Wish::Keep {
            break None;
        }
        if state.is_lost {
            state = shared.wait(state, every);
            continue;
        }
        if time < next {
            state = shared.wait(state, next - time);
            continue;
        }
        drop(state);
        next = time + every;
        // A panic of Diesel's instrumentation has no caller here.
        let answer = catch_panic(|| ask(&mut scope));
        state = shared.lock();
        match answer {
            // Once it was reported as lost it stays lost.
            Ok(Ok(true)) if state.is_held() => state.held_until = time + lease::lease(idle),
            // The answer is missing, so it is asked for again soon.
            Ok(Err(Error::Interrupted { .. } | Error::Diesel(_))) if state.is_held() => {
                next = time + every.min(AGAIN);
            }
            Ok(Ok(_) | Err(Error::Interrupted { .. } | Error::Diesel(_))) => state.is_lost = true,
            Ok(Err(error)) => {
                state.is_lost = true;
                break Some(error);
            }
            Err(_) => {
                state.is_lost = true;
                break Some(panicked());
            }
        }
        shared.changed.notify_all();
    };
    shared.changed.notify_all();
    // Only a release waits for the minimum.
    let ending = if state.wish == Wish::Release { Ending::Commit } else { Ending::RollBack };
    drop(state);
    let ended = match failed {
        Some(error) => {
            // It is lost, and so is the session.
            let _ = catch_panic(|| drop(scope));
            Err(error)
        }
        None => catch_panic(|| end(scope, ending)).unwrap_or_else(|_| Err(panicked())),
    };
    let mut state = shared.lock();
    state.is_lost = true;
    state.has_ended = true;
    shared.changed.notify_all();
    if state.wish == Wish::Drop {
        drop(state);
        let _ = catch_panic(|| drop(ended));
    } else {
        state.ended = Some(ended);
    }
}

fn panicked() -> Error {
    let reason = "the thread that kept the lock alive has panicked";
    connection_lost(DieselError::DeserializationError(reason.into()))
}

fn ask<Conn: LockConnection>(scope: &mut Scope<Conn, HeldLock>) -> Result<bool, Error> {
    let (held, conn) = scope.parts();
    abandon_on_panic(mysql(conn)?, |conn| now(held.is_still_held(conn)))
}

/// The session is restored before the lock is released: the connection may go back to a pool even
/// if that fails.
fn end<Conn: LockConnection>(
    mut scope: Scope<Conn, HeldLock>,
    ending: Ending,
) -> Result<Conn, Error> {
    let restored = mysql(scope.conn_mut()).and_then(restore);
    let released = scope.end(ending);
    restored?;
    released
}

fn restore(conn: &mut MysqlConnection) -> Result<(), Error> {
    abandon_on_panic(conn, |conn| now(lease::end_idle(conn)))
}
