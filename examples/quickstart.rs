//! Shows what diesel-locks does on a real server: first a named lock, then a table lock.
//!
//! `./dev quickstart` runs it on a throw-away server. To run it on one of yours:
//!
//! ```text
//! DATABASE_URL=mysql://root@127.0.0.1:3306/ cargo run -p diesel-locks-examples --bin quickstart
//! ```
//!
//! It creates a temporary database and drops it at the end. Every claim that it prints is checked
//! first: if a lock did not exclude, the program says so and exits with 1.

#[path = "quickstart/setup.rs"]
mod setup;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use diesel::prelude::*;
use diesel_locks::{Lock, LockableTable, TableLock};

use crate::setup::schema::{places, restaurants, reviews, steps};
use crate::setup::{Database, Failure, Visitor, ensure};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let database = Database::create()?;
    println!("{database}");
    named_lock(&database)?;
    table_lock(&database)?;
    println!("\nBoth locks excluded all other connections. The database is dropped now.");
    Ok(())
}

// ---- A named lock: one at a time, among all clients of the server ------------------------------

/// Describes the lock. Nothing is locked until it is acquired.
static STOCK_TAKING: Lock = Lock::new("stock-taking");

const STEPS: usize = 300;

fn named_lock(database: &Database) -> Result<(), Failure> {
    println!("\n1. Two connections contend for the named lock \"stock-taking\".\n");
    let mut first = database.connect()?;
    let mut second = database.connect()?;
    let (is_taken, taken) = mpsc::channel();
    let (is_asked_for, asked_for) = mpsc::channel();

    let (released, acquired) = thread::scope(|threads| {
        let first = threads.spawn(move || -> Result<Instant, Failure> {
            let mut guard = STOCK_TAKING.acquire(&mut first)?;
            println!("   The first holds the lock.");
            is_taken.send(())?;

            // From here on the second waits for the lock while the first works, unless it has
            // failed: its own result says why.
            let _ = asked_for.recv();
            take_stock("first", &mut guard)?;
            println!("   The first has done its {STEPS} steps, and releases the lock.");
            let released = Instant::now();
            guard.release()?; // or drop it; this reports a lock that was lost before
            Ok(released)
        });

        let second = threads.spawn(move || -> Result<Instant, Failure> {
            taken.recv()?;
            let free = STOCK_TAKING.try_acquire(&mut second)?.is_some();
            ensure(!free, "the second acquired the lock while the first held it")?;
            println!("   The second has tried: the lock is not free.");

            println!("   The second waits, up to 10 seconds.");
            let asked = Instant::now();
            is_asked_for.send(())?;
            STOCK_TAKING.with(&mut second, |conn| {
                let acquired = Instant::now();
                println!("   The second waited for {:.1?} and holds the lock.", acquired - asked);
                take_stock("second", conn)?;
                Ok(acquired)
            })
        });

        Ok::<_, Failure>((join(first)?, join(second)?))
    })?;

    ensure(acquired > released, "the second acquired the lock before the first released it")?;
    let mut conn = database.connect()?;
    let mut order: Vec<String> =
        steps::table.select(steps::worker).order(steps::id).load(&mut conn)?;
    ensure(order.len() == 2 * STEPS, "some steps are missing")?;
    order.dedup();
    ensure(order == ["first", "second"], "the steps of the two are mixed")?;
    println!("   In the database, all steps of the first come before all of the second.");
    Ok(())
}

/// Work that only one connection may do at a time.
fn take_stock(worker: &str, conn: &mut MysqlConnection) -> QueryResult<()> {
    for _ in 0..STEPS {
        diesel::insert_into(steps::table).values(steps::worker.eq(worker)).execute(conn)?;
    }
    Ok(())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().map_err(|_| "a thread panicked")?
}

// ---- A table lock: repair one model's rows from another's, without other writers ---------------

#[derive(Queryable, Selectable, LockableTable)]
struct Place {
    id: i32,
    name: String,
    stars: i64,
}

/// A restaurant is a place: the row in `restaurants` continues one in `places`. Locking
/// `Restaurant` locks both tables.
#[derive(Queryable, Selectable, LockableTable)]
#[diesel(table_name = restaurants)]
#[lockable(parents(Place))]
struct Restaurant {
    review_count: i64,
}

#[derive(LockableTable)]
struct Review;

fn table_lock(database: &Database) -> Result<(), Failure> {
    println!("\n2. Some restaurants do not agree with their reviews. A migration repairs them.\n");
    let mut conn = database.connect()?;
    let mut visitor = Visitor::of(database)?;
    ensure(database.count_wrong()? == 2, "there is nothing to repair")?;

    let lock = TableLock::new().read::<Review>().write::<Restaurant>();
    println!("   It sends: {lock}");
    println!("   `places` is in it because a `Restaurant` inherits from `Place`.");

    let asked = Instant::now();
    let repaired = lock.with(&mut conn, |conn| -> Result<usize, Failure> {
        println!("   The tables are locked, after {:.1?}.", asked.elapsed());
        let repaired = repair(conn)?;

        // A visitor of the web site uses another connection, which waits up to a second.
        ensure(visitor.reads_reviews(), "a table that is locked for READ could not be read")?;
        ensure(!visitor.adds_a_review()?, "a review was added in spite of the lock")?;
        ensure(!visitor.renames_a_place()?, "a place was renamed in spite of the lock")?;
        println!("   A visitor could read reviews, but neither add one nor rename a place:");
        println!("   both timed out after a second.");
        Ok(repaired)
    })?; // commits, then unlocks; rolls back if the body fails or panics

    ensure(visitor.renames_a_place()?, "a place could not be renamed after the lock")?;
    ensure(repaired == 2 && database.count_wrong()? == 0, "not everything was repaired")?;
    println!(
        "   {repaired} restaurants were repaired. Now that the tables are unlocked, the place"
    );
    println!("   has got its new name.");
    Ok(())
}

/// Counts each restaurant's reviews and their stars, and corrects what differs.
fn repair(conn: &mut MysqlConnection) -> QueryResult<usize> {
    let all: Vec<(Place, Restaurant)> = places::table
        .inner_join(restaurants::table)
        .select((Place::as_select(), Restaurant::as_select()))
        .order(places::id)
        .load(conn)?;

    let mut repaired = 0;
    for (place, restaurant) in all {
        let of_this_place = reviews::table.filter(reviews::place_id.eq(place.id));
        let (mut count, mut stars) = (0, 0);
        for given in of_this_place.select(reviews::stars).load::<i64>(conn)? {
            count += 1;
            stars += given;
        }
        if (restaurant.review_count, place.stars) == (count, stars) {
            continue;
        }
        diesel::update(restaurants::table.find(place.id))
            .set(restaurants::review_count.eq(count))
            .execute(conn)?;
        diesel::update(places::table.find(place.id)).set(places::stars.eq(stars)).execute(conn)?;
        println!(
            "   {}: said {} reviews with {} stars, has {count} with {stars}. Repaired.",
            place.name, restaurant.review_count, place.stars
        );
        repaired += 1;
    }
    Ok(repaired)
}
