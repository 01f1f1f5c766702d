//! One replica: it follows until it can lead, and leads until another does.

use std::error::Error as StdError;
use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Error, KeptLock, Lock};

diesel::table! { leaders (term) { term -> Unsigned<BigInt>, name -> VarChar, } }
diesel::table! { steps (id) { id -> Integer, term -> Unsigned<BigInt>, } }

/// Each holder of the lock leads, and its fencing token is the number of its term.
pub(crate) static LEADER: Lock = Lock::new("leader").fenced().timeout(Duration::from_secs(1));

/// A leader that is silent loses the lock six seconds later.
const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// The pause between two steps of the leader's work.
const PAUSE: Duration = Duration::from_millis(200);

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

pub(crate) fn run(url: &str, name: &str) -> Result<()> {
    let mut conn = MysqlConnection::establish(url)?;
    loop {
        let kept = follow(url, &mut conn)?;
        match lead(&kept, &mut conn, name) {
            Err(Error::Superseded { token, .. }) => println!("refused: term {token} is over"),
            Err(error) => println!("no longer leads: {error}"),
            Ok(()) => println!("no longer leads"),
        }
    }
}

/// Waits for the lock, and reports each new leader. The lock has its own connection.
fn follow(url: &str, conn: &mut MysqlConnection) -> Result<KeptLock<MysqlConnection>> {
    let mut candidate = MysqlConnection::establish(url)?;
    let mut known = None;
    loop {
        candidate = match LEADER.acquire_owned(candidate) {
            Ok(guard) => return Ok(guard.keep_alive(KEEP_ALIVE)?),
            Err(busy) => match busy.into_parts() {
                (Error::Timeout { .. }, candidate) => candidate,
                (error, _) => return Err(error.into()),
            },
        };
        let last = leaders::table.order(leaders::term.desc());
        let leader = last.first::<(u64, String)>(conn).optional()?;
        if let Some((term, name)) = leader.as_ref().filter(|_| leader != known) {
            println!("follows {name} in term {term}");
        }
        known = leader;
    }
}

/// Works in steps. Each is committed only if no later term has begun, whatever this process
/// believes.
fn lead(
    kept: &KeptLock<MysqlConnection>,
    conn: &mut MysqlConnection,
    name: &str,
) -> std::result::Result<(), Error> {
    let term = kept.fencing_token().unwrap_or_default();
    kept.transaction(conn, |conn| {
        let leader = (leaders::term.eq(term), leaders::name.eq(name));
        diesel::insert_into(leaders::table).values(leader).execute(conn)
    })?;
    println!("leads in term {term}");
    loop {
        let is_lost = kept.wait_until_lost(PAUSE);
        kept.transaction(conn, |conn| {
            diesel::insert_into(steps::table).values(steps::term.eq(term)).execute(conn)
        })?;
        if is_lost {
            return Ok(());
        }
    }
}
