//! The proof that the lock keeps other writers out: other connections try.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Unsigned};

use crate::cli::Failure;
use crate::schema::{pizzerias, places, restaurants};

/// How long a writer may take to connect and to reach its table.
const PATIENCE: Duration = Duration::from_secs(10);

/// One writer for each table of the model.
#[derive(Debug)]
pub(crate) struct Writers(Vec<Writer>);

#[derive(Debug)]
struct Writer {
    table: &'static str,
    connection: u64,
    /// When it had written.
    wrote: JoinHandle<QueryResult<Instant>>,
}

type Write = fn(&mut MysqlConnection, i64) -> QueryResult<usize>;

/// Writes that change nothing, so that the proof can be had with real data.
const WRITES: [(&str, Write); 3] = [
    ("places", |conn, id| {
        diesel::update(places::table.find(id)).set(places::name.eq(places::name)).execute(conn)
    }),
    ("restaurants", |conn, id| {
        diesel::update(restaurants::table.find(id))
            .set(restaurants::seats.eq(restaurants::seats))
            .execute(conn)
    }),
    ("pizzerias", |conn, id| {
        diesel::update(pizzerias::table.find(id))
            .set(pizzerias::fee_cents.eq(pizzerias::fee_cents))
            .execute(conn)
    }),
];

impl Writers {
    /// Starts the writers, and returns when the server reports that all of them wait for their
    /// tables.
    pub(crate) fn start(url: &str, id: i64, conn: &mut MysqlConnection) -> Result<Self, Failure> {
        let writers = WRITES.map(|(table, write)| Writer::start(url, table, write, id));
        let writers = Self(writers.into_iter().collect::<Result<_, _>>()?);
        let started = Instant::now();
        while !writers.all_wait(conn)? {
            writers.are_kept_out()?;
            if started.elapsed() > PATIENCE {
                return no_proof("the server does not say that the writers wait for the tables");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(writers)
    }

    fn all_wait(&self, conn: &mut MysqlConnection) -> QueryResult<bool> {
        let ids = self.0.iter().map(|writer| writer.connection.to_string()).collect::<Vec<_>>();
        let all = diesel::select(sql::<Bool>(&format!(
            "(SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE ID IN ({}) AND STATE LIKE 'Waiting for table%') = {}",
            ids.join(", "),
            ids.len()
        )));
        all.get_result(conn)
    }

    /// Checks, before the end of the lock, that no writer has written.
    pub(crate) fn are_kept_out(&self) -> Result<(), Failure> {
        match self.0.iter().find(|writer| writer.wrote.is_finished()) {
            Some(Writer { table, .. }) => {
                no_proof(&format!("the writer to `{table}` did not wait"))
            }
            None => Ok(()),
        }
    }

    /// Checks, after the end of the lock, that all writers write, and none did so before `end`.
    pub(crate) fn got_in_after(self, end: Instant) -> Result<(), Failure> {
        for Writer { table, wrote, .. } in self.0 {
            match wrote.join() {
                Ok(Ok(wrote)) if wrote >= end => {}
                Ok(Ok(_)) => return too_late(&format!("`{table}` was written to before the end")),
                Ok(Err(error)) => return too_late(&format!("writing to `{table}`: {error}")),
                Err(_) => return too_late(&format!("the writer to `{table}` panicked")),
            }
        }
        Ok(())
    }
}

impl Writer {
    fn start(url: &str, table: &'static str, write: Write, id: i64) -> Result<Self, Failure> {
        let mut conn = MysqlConnection::establish(url)?;
        conn.batch_execute("SET lock_wait_timeout = 31536000")?;
        let connection =
            diesel::select(sql::<Unsigned<BigInt>>("CONNECTION_ID()")).get_result(&mut conn)?;
        let writer = thread::spawn(move || write(&mut conn, id).map(|_| Instant::now()));
        Ok(Self { table, connection, wrote: writer })
    }
}

fn no_proof<T>(reason: &str) -> Result<T, Failure> {
    Err(Failure::NoProof(reason.to_owned()))
}

fn too_late<T>(reason: &str) -> Result<T, Failure> {
    no_proof(&format!("{reason}, but the repair is committed"))
}
