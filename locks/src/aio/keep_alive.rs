//! Keeps a lock alive from a task, and learns of its loss.

use std::fmt;
use std::ops::DerefMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;
use diesel_async::AsyncMysqlConnection;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::doomed::Doomed;
use super::guard::{LockGuard, run};
use crate::error::{Error, FromDieselError};
use crate::lock::HeldLock;
use crate::lock::lease::{self, AGAIN, SHORTEST, end_idle, idle_seconds, set_idle};
use crate::lock::release::TransactionUnder;
use crate::scope::Held as _;
use crate::server_error::connection_lost;

impl<Conn> LockGuard<Conn>
where
    Conn: DerefMut<Target = AsyncMysqlConnection> + Send + 'static,
{
    /// Keeps the lock alive: a task of the tokio runtime asks the server each interval whether the
    /// lock is still held.
    ///
    /// Until then only that task uses the connection, so the work is done on others. The session's
    /// own `wait_timeout` is set to the next whole second above the interval plus
    /// [`KeptLock::GRACE`], and put back at the end. So a holder whose process is stopped, whose
    /// runtime is blocked or whose network is cut loses the lock within that time, instead of the
    /// server's eight hours.
    ///
    /// One round trip each interval, one to begin and two to end. An interval shorter than 10
    /// milliseconds is one of 10.
    ///
    /// ```no_run
    /// # use diesel_async::AsyncMysqlConnection;
    /// # use diesel_locks::{Error, aio::Lock};
    /// # use std::time::Duration;
    /// # async fn import(_: &mut AsyncMysqlConnection) -> Result<bool, Error> { Ok(true) }
    /// # async fn run(conn: Box<AsyncMysqlConnection>, other: &mut AsyncMysqlConnection) -> Result<(), Error> {
    /// let guard = Lock::new("import").acquire_owned(conn).await?;
    /// let kept = guard.keep_alive(Duration::from_secs(5)).await?;
    /// while kept.is_held() && import(other).await? {} // in steps, on another connection
    /// kept.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLost`], [`Error::Interrupted`] or [`Error::Diesel`] if `wait_timeout`
    /// cannot be set, and [`Error::Unsupported`] outside of a tokio runtime. The lock is released
    /// then, and the connection is dropped.
    pub async fn keep_alive(mut self, every: Duration) -> Result<KeptLock<Conn>, Error> {
        let every = every.max(SHORTEST);
        let idle = idle_seconds(every);
        let runtime = Handle::try_current().map_err(|error| Error::Unsupported {
            what: "keeping a lock alive".to_owned(),
            remedy: format!("call this in a tokio runtime ({error})"),
        })?;
        let asked = Instant::now();
        let (held, conn) = self.parts();
        let held = held.clone();
        set_idle(idle, held.lock(), conn).await?;
        let shared = Arc::new(Shared::new(asked + lease::lease(idle)));
        let (release, released) = oneshot::channel();
        let task = runtime.spawn(keep(self, Arc::clone(&shared), every, idle, released));
        Ok(KeptLock { held, idle, shared, release: Some(release), task })
    }
}

/// A named lock that a task keeps alive: see [`LockGuard::keep_alive`].
///
/// **Dropping it closes the connection**, which releases the lock: see
/// [cancellation](crate::aio#cancellation). [`release`](Self::release) returns the connection.
#[must_use = "dropping it closes the connection: `let _kept = …` keeps the lock"]
#[clippy::has_significant_drop]
pub struct KeptLock<Conn> {
    /// The same as the task has.
    held: HeldLock,
    /// After how many seconds of silence the server frees the lock.
    idle: u64,
    shared: Arc<Shared>,
    /// Taken when the lock is released.
    release: Option<oneshot::Sender<Wish<Conn>>>,
    task: JoinHandle<()>,
}

/// To release the lock, and where to send the connection.
type Wish<Conn> = oneshot::Sender<Result<Conn, Error>>;

impl<Conn> KeptLock<Conn> {
    /// How much longer than the interval the server waits for the next query before it frees the
    /// lock, at least: 5 seconds.
    pub const GRACE: Duration = lease::GRACE;

    /// Returns whether the lock is held, without asking the server.
    ///
    /// It is false as soon as the task has learned of a loss, and before the server can have freed
    /// the lock because it has heard nothing. It stays false then. It is true for up to one
    /// interval after a connection was killed at the server.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.shared.lock().is_held()
    }

    /// Waits until the lock is lost, or for this long: returns whether it is lost. May be
    /// cancelled.
    pub async fn wait_until_lost(&self, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        loop {
            let changed = self.shared.changed.notified();
            let held_until = {
                let state = self.shared.lock();
                if !state.is_held() {
                    return true;
                }
                state.held_until
            };
            if until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            let end = until.map_or(held_until, |until| until.min(held_until));
            let _ = timeout_at(end.into(), changed).await;
        }
    }

    /// Returns the fencing token of the lock, or `None` if it is not [fenced](super::Lock::fenced).
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.held.fencing_token()
    }

    /// Runs the body in a transaction on another connection, which is committed only if no later
    /// holder of the fenced lock has begun.
    ///
    /// The connection must be one to the same server, or to the same cluster. During the
    /// transaction its `wait_timeout` is that of the lock's own connection. A body that sends
    /// nothing for as long as [`GRACE`](Self::GRACE) may lose its connection.
    ///
    /// # Errors
    ///
    /// The same as [`LockGuard::transaction`], and [`Error::Unsupported`] if the lock is not
    /// [fenced](super::Lock::fenced): nothing would tie the transaction to the lock.
    pub async fn transaction<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: FromDieselError,
    {
        if self.fencing_token().is_none() {
            return Err(DieselError::from(Error::Unsupported {
                what: format!("a transaction on another connection under {}", self.held.lock()),
                remedy: "only a fence ties it to the lock: use `Lock::fenced`".to_owned(),
            })
            .into());
        }
        let mut conn = Doomed::new(conn);
        match TransactionUnder::begin(&self.held, Some(self.idle), &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    /// Releases the lock, and returns the connection.
    ///
    /// # Errors
    ///
    /// The same as [`LockGuard::release`]. Where the server does not answer,
    /// [`Error::ConnectionLost`] after [`GRACE`](Self::GRACE), or once the server must have freed
    /// the lock if that is later.
    pub async fn release(mut self) -> Result<Conn, Error> {
        let (wish, released) = oneshot::channel();
        if let Some(release) = self.release.take() {
            // Otherwise the task has ended, and its answer says so.
            let _ = release.send(wish);
        }
        let held_until = self.shared.lock().held_until;
        let answer = Self::GRACE.saturating_add(self.held.minimum_rest());
        let patience = held_until.saturating_duration_since(Instant::now()).max(answer);
        let reason = match timeout(patience, released).await {
            Ok(Ok(released)) => return released,
            Ok(Err(_)) => "the connection was lost while the lock was kept alive",
            Err(_) => "the server has not answered in time",
        };
        Err(connection_lost(DieselError::DeserializationError(reason.into())))
    }
}

impl<Conn> Drop for KeptLock<Conn> {
    fn drop(&mut self) {
        // Its guard is dropped, if it still has one.
        self.task.abort();
    }
}

impl<Conn> fmt::Debug for KeptLock<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLock")
            .field("lock", &self.held.lock())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// The server does not free the lock before, unless it is asked to.
    held_until: Instant,
    is_lost: bool,
}

impl State {
    fn is_held(&self) -> bool {
        !self.is_lost && Instant::now() < self.held_until
    }
}

impl Shared {
    fn new(held_until: Instant) -> Self {
        let state = State { held_until, is_lost: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports the loss however the task ends: by a panic or by its abortion, too.
struct LostAtTheEnd(Arc<Shared>);

impl Drop for LostAtTheEnd {
    fn drop(&mut self) {
        self.0.lock().is_lost = true;
        self.0.changed.notify_waiters();
    }
}

/// The task: asks each interval, until the lock is lost or is to be released.
async fn keep<Conn>(
    mut guard: LockGuard<Conn>,
    shared: Arc<Shared>,
    every: Duration,
    idle: u64,
    mut released: oneshot::Receiver<Wish<Conn>>,
) where
    Conn: DerefMut<Target = AsyncMysqlConnection>,
{
    let ended = LostAtTheEnd(Arc::clone(&shared));
    let mut pause = every;
    let wish = loop {
        // Only between two queries: a query that is cancelled would cost the connection.
        if let Ok(wish) = timeout(pause, &mut released).await {
            break wish;
        }
        if shared.lock().is_lost {
            continue;
        }
        let asked = Instant::now();
        let answer = guard.is_still_held().await;
        pause = every;
        let mut state = shared.lock();
        match answer {
            // Once it was reported as lost it stays lost.
            Ok(true) if state.is_held() => state.held_until = asked + lease::lease(idle),
            // The answer is missing, so it is asked for again soon.
            Err(Error::Interrupted { .. } | Error::Diesel(_)) if state.is_held() => {
                pause = every.min(AGAIN);
            }
            _ => state.is_lost = true,
        }
        drop(state);
        shared.changed.notify_waiters();
    };
    let Ok(wish) = wish else { return };
    let restored = end_idle(guard.parts().1).await;
    let conn = guard.release().await;
    drop(ended);
    // The one who asked may have given up: then the connection is dropped.
    let _ = wish.send(restored.and(conn));
}
