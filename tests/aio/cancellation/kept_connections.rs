//! Connections whose owner keeps them and uses them again.

use diesel_async::AsyncMysqlConnection;

use super::calls::{CALLS, Call};
use super::probes::{BUSY, Probe, ask_all};
use crate::support::{
    Admin, Database, Drop, Listings, connection_id, number, on_both_runtimes, polled, soon, until,
};

/// More polls than any call takes.
const MANY: usize = 1_000;

pub(super) struct Scene {
    pub(super) database: Database,
    pub(super) admin: Admin,
    /// Holds the lock [`BUSY`].
    _holder: AsyncMysqlConnection,
    points: usize,
}

impl Scene {
    pub(super) async fn set() -> Self {
        let database = super::database().await;
        let mut holder = database.connect().await;
        BUSY.acquire(&mut holder).await.unwrap().leak();
        let admin = Admin::connect().await;
        Self { database, admin, _holder: holder, points: 0 }
    }

    /// Fails unless the server holds nothing for this connection, and the rows of the call were
    /// written both or not at all. Removes them.
    pub(super) async fn expect_nothing_held(&mut self, what: &str, id: u64) {
        let (database, admin) = (&self.database, &mut self.admin);
        let free = ["free", "inner", "later"]
            .map(|lock| format!("IS_USED_LOCK('{}') IS NULL", database.full_name(lock)));
        let free = free.join(" AND ");
        until(&format!("{what}: the locks are free"), async || {
            number(&free, &mut admin.conn).await == Ok(1)
        })
        .await;
        until(&format!("{what}: the tables are free"), async || {
            database.has_free_tables(admin).await
        })
        .await;
        let rows = database.count_of_pairs(admin).await;
        assert!(rows == 0 || rows == 2, "{what}: half of it is committed");
        assert!(database.has_known_settings(admin).await, "{what}: other settings are written");
        let busy = admin.holder(&database.full_name("busy")).await;
        assert!(busy.is_some_and(|busy| busy != id), "{what}: {busy:?} holds what another held");
        let clean = format!("DELETE FROM `{}`.work", database.name());
        diesel_async::SimpleAsyncConnection::batch_execute(&mut admin.conn, &clean).await.unwrap();
    }
}

/// Cancels a call after each number of polls, and uses the connection again.
///
/// `warm`: the statements of the call are prepared.
async fn cancel_at_each_poll(name: &str, call: Call, warm: bool, drop: Drop, scene: &mut Scene) {
    let mut polls = 1;
    loop {
        let first = Probe::ALL[scene.points % Probe::ALL.len()];
        let mut conn = scene.database.connect().await;
        let id = connection_id(&mut conn).await;
        Probe::warm_up(&mut conn).await;
        if warm {
            call(&mut conn).await;
            scene.expect_nothing_held(name, id).await;
        }
        let what =
            format!("{name}, dropped {drop:?} after {polls} polls, warm: {warm}, then {first:?}");
        let done = soon(&what, polled(polls, drop, call(&mut conn))).await.is_some();
        scene.points += 1;
        ask_all(first, &mut conn, id, &scene.database, &mut scene.admin).await;
        let _ = soon(&what, diesel_locks::aio::Lock::release_all(&mut conn)).await;
        scene.expect_nothing_held(&what, id).await;
        if done {
            println!("{name}: {polls} polls, warm: {warm}, {drop:?}");
            return;
        }
        assert!(polls < MANY, "{name} never ends");
        polls += 1;
    }
}

async fn cancel_every_call(drop: Drop) {
    let listings = Listings::load().await;
    let mut scene = Scene::set().await;
    for (i, (name, call)) in CALLS.iter().enumerate() {
        for warm in [false, true] {
            // Most of it is the same, so half of it will do.
            if drop == Drop::AtOnce || warm == (i % 2 == 0) {
                cancel_at_each_poll(name, *call, warm, drop, &mut scene).await;
            }
        }
    }
    println!("{} points, {drop:?}, locks are listed: {}", scene.points, listings.any);
}

on_both_runtimes! {
    async fn every_call_is_dropped_before_its_answer_has_come() {
        cancel_every_call(Drop::AtOnce).await;
    }

    async fn every_call_is_dropped_when_its_answer_has_come() {
        cancel_every_call(Drop::WhenWoken).await;
    }
}
