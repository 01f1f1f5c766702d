//! The repair itself: finds wrong fees and corrects them.

use std::ops::Mul;

use diesel::connection::SimpleConnection;
use diesel::dsl;
use diesel::prelude::*;

use crate::cli::Failure;
use crate::progress::Progress;
use crate::schema::{Pizzeria, Place, Restaurant, Tariff, pizzerias, places, restaurants, tariffs};

type Due = <restaurants::seats as Mul<tariffs::cents_per_seat>>::Output;

/// Returns the fee that a pizzeria should have: a subquery about the `pizzerias` row of the query
/// around it.
#[dsl::auto_type]
fn fee_due() -> _ {
    let due: Due = restaurants::seats * tariffs::cents_per_seat;
    restaurants::table
        .inner_join(places::table.inner_join(tariffs::table))
        .filter(restaurants::place_id.eq(pizzerias::restaurant_id))
        .select(due)
        .single_value()
}

/// Returns the pizzerias with a wrong fee, lowest ids first.
pub(crate) fn wrong_fees(conn: &mut MysqlConnection, limit: Option<u32>) -> QueryResult<Vec<i64>> {
    pizzerias::table
        .filter(pizzerias::fee_cents.nullable().ne(fee_due()))
        .select(pizzerias::restaurant_id)
        .order(pizzerias::restaurant_id)
        .limit(limit.map_or(i64::MAX, i64::from))
        .load(conn)
}

/// Repairs the pizzerias with these ids.
///
/// Each batch is in a savepoint. One that fails is undone alone and tried again in halves: it may
/// have been stopped by a time limit for statements, or by an administrator. If a single row fails,
/// the error names the row.
pub(crate) fn repair(
    conn: &mut MysqlConnection,
    batch: &[i64],
    progress: &mut Progress,
) -> Result<(), Failure> {
    // The lock has begun a transaction, so this is a savepoint in it. The subquery stands only
    // once, because a statement may use each locked table once.
    let repaired = conn.transaction(|conn| {
        diesel::update(pizzerias::table)
            .filter(pizzerias::restaurant_id.eq_any(batch))
            .set(pizzerias::fee_cents.eq(fee_due().assume_not_null()))
            .execute(conn)
    });
    match (repaired, batch) {
        (Ok(_), _) => {
            progress.advance(batch.len());
            Ok(())
        }
        (Err(error), _) if !answers(conn) => Err(error.into()),
        (Err(error), &[id]) => Err(Failure::Row { id, error }),
        (Err(_), _) => {
            let (lower, upper) = batch.split_at(batch.len() / 2);
            repair(conn, lower, progress)?;
            repair(conn, upper, progress)
        }
    }
}

/// Returns whether the connection is alive. After a lost one there is nothing to try again: the
/// server has rolled everything back.
fn answers(conn: &mut MysqlConnection) -> bool {
    conn.batch_execute("DO 0").is_ok()
}

/// Shows some of the rows that would be repaired.
pub(crate) fn show(conn: &mut MysqlConnection, ids: &[i64]) -> QueryResult<()> {
    let rows = pizzerias::table
        .inner_join(restaurants::table.inner_join(places::table.inner_join(tariffs::table)))
        .filter(pizzerias::restaurant_id.eq_any(ids))
        .order(pizzerias::restaurant_id)
        .select((
            Place::as_select(),
            Restaurant::as_select(),
            Pizzeria::as_select(),
            Tariff::as_select(),
        ))
        .load::<(Place, Restaurant, Pizzeria, Tariff)>(conn)?;
    for (Place { id, name }, Restaurant { seats }, Pizzeria { fee_cents }, tariff) in rows {
        let Tariff { city, cents_per_seat } = tariff;
        let due = i64::from(seats) * i64::from(cents_per_seat);
        println!("pizzeria {id} ({name}, {seats} seats, {city}): fee {fee_cents}, due {due}");
    }
    Ok(())
}
