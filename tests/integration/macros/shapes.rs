//! The attributes on functions of every shape. The test is that they compile without a warning.
#![deny(warnings, unused, clippy::all, clippy::pedantic)]
// The functions are only compiled, and most are never called.
#![allow(dead_code)]

use std::fmt::Display;
use std::ops::DerefMut;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::result::Error as DieselError;
use diesel_locks::{Error, LockableTable, with_lock, with_table_lock};

use crate::support::schema::{audit_log, customers};

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;
type Borrowed<'c> = &'c mut MysqlConnection;

#[derive(LockableTable)]
struct Customer {
    id: i32,
}

struct Order {
    id: i32,
    name: String,
}

#[with_lock("nightly-report")]
fn plain(conn: &mut MysqlConnection) -> QueryResult<usize> {
    customers::table.count().get_result::<i64>(conn).map(|_| 1)
}

#[with_lock("a{{b}}c")]
fn escaped(_conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly-report")]
fn conn_is_not_used(conn: &mut MysqlConnection) -> Result<(), Error> {
    Ok(())
}

#[with_lock("order-{id}")]
fn argument_is_used_in_the_name_only(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("order-{}", id)]
fn argument_that_could_be_captured(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("{}", order.name)]
fn argument_that_is_all_of_the_name(conn: &mut MysqlConnection, order: &Order) -> QueryResult<()> {
    Ok(())
}

#[with_lock("{name}")]
fn name_only(conn: &mut MysqlConnection, name: &str) -> QueryResult<()> {
    Ok(())
}

#[with_lock("{}-{}-{last:04}", order.name, order.id, last = order.id + 1, timeout = 2.5)]
fn arguments(conn: &mut MysqlConnection, order: Order) -> QueryResult<Order> {
    Ok(order)
}

#[with_lock("all", transaction, server_wide, timeout = Duration::from_millis(100), conn = conn)]
#[must_use = "kept"]
#[inline]
pub(crate) fn options(conn: &mut MysqlConnection) -> QueryResult<()> {
    #![allow(clippy::let_and_return)]
    let result = Ok(());
    result
}

#[with_lock("moved")]
fn the_body_may_move_its_connection(conn: &mut MysqlConnection) -> QueryResult<()> {
    struct Keeper<'c>(&'c mut MysqlConnection);
    let keeper = Keeper(conn);
    plain(keeper.0)?;
    Ok(())
}

#[with_lock("mutable", timeout = seconds)]
fn mutable_arguments(
    mut conn: &mut MysqlConnection,
    mut seconds: u64,
    other: Borrowed<'_>,
) -> QueryResult<u64> {
    seconds += 1;
    if seconds > 3 {
        conn = other;
    }
    plain(conn)?;
    Ok(seconds)
}

#[with_lock("alias")]
fn alias(conn: Borrowed<'_>) -> QueryResult<usize> {
    plain(conn)
}

#[with_lock("pooled")]
fn pooled(conn: &mut PooledConnection<ConnectionManager<MysqlConnection>>) -> QueryResult<usize> {
    plain(conn)
}

#[with_lock("found by its type")]
fn by_type(
    db: &mut Pooled,
    other: &mut PooledConnection<ConnectionManager<MysqlConnection>>,
) -> QueryResult<usize> {
    plain(db)?;
    plain(other)
}

#[with_lock("named", conn = db)]
fn named(db: &mut Pooled) -> QueryResult<usize> {
    plain(db)
}

#[with_lock("owned")]
fn owned(mut conn: Pooled) -> QueryResult<usize> {
    plain(&mut conn)
}

#[with_lock("owned", conn = connection)]
fn owned_itself(mut connection: MysqlConnection) -> QueryResult<usize> {
    plain(&mut connection)
}

#[with_lock("generic-{value}", conn = conn)]
fn generic<'a, C, T, const N: usize>(
    conn: &mut C,
    list: &'a [T; N],
    value: impl Display + Send,
) -> Result<&'a T, Error>
where
    C: DerefMut<Target = MysqlConnection>,
    T: Clone,
{
    plain(conn)?;
    list.first().ok_or(Error::NoTables)
}

#[with_lock("lifetimes")]
fn elided<'a>(conn: &mut MysqlConnection, list: &'a mut [Order]) -> QueryResult<&'a mut Order> {
    list.first_mut().ok_or(DieselError::NotFound)
}

#[with_lock("hidden")]
fn hidden(conn: &mut MysqlConnection, n: u32) -> QueryResult<impl Iterator<Item = u32> + use<>> {
    Ok(0..n)
}

#[with_lock("boxed")]
fn boxed(conn: &mut MysqlConnection) -> Result<Box<dyn Display>, Box<dyn std::error::Error>> {
    Ok(Box::new(plain(conn)?))
}

#[with_lock("pattern-{first}-{id}")]
fn patterns(
    conn: &mut MysqlConnection,
    (first, _): (i32, i32),
    Order { id, ref name }: Order,
    [_, rest @ ..]: [u8; 3],
) -> QueryResult<usize> {
    Ok(name.len() + rest.len())
}

#[with_lock("inside a pattern")]
fn conn_in_a_pattern((conn, id): (&mut MysqlConnection, usize)) -> QueryResult<usize> {
    plain(conn).map(|n| n + id)
}

#[with_lock("items")]
fn items_come_first(conn: &mut MysqlConnection) -> QueryResult<u8> {
    use std::convert::identity;
    const ONE: u8 = 1;
    fn two() -> u8 {
        2
    }
    Ok(identity(ONE) + two())
}

#[with_lock("never returns")]
fn diverges(conn: &mut MysqlConnection) -> QueryResult<()> {
    loop {
        plain(conn)?;
    }
}

#[with_table_lock(read(Customer, "legacy_log"), write(audit_log::table, ("other_db", "log")), timeout = 5)]
fn tables(conn: &mut MysqlConnection) -> QueryResult<usize> {
    diesel::delete(audit_log::table).execute(conn)
}

#[with_lock("outer-{id}")]
#[diesel_locks::with_table_lock(write(Customer))]
#[with_lock("inner-{id}")]
/// Returns a comment below.
fn stacked(mut conn: &mut MysqlConnection, id: i32, other: Borrowed<'_>) -> QueryResult<()> {
    conn = other;
    plain(conn)?;
    Ok(())
}

struct Repository<C> {
    conn: C,
    id: i32,
    timeout: Duration,
}

trait Repair {
    fn repair(&mut self) -> QueryResult<usize>;

    #[with_lock("by default")]
    fn by_default(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        plain(conn)
    }
}

impl Repair for Repository<MysqlConnection> {
    #[with_lock("repository-{}", self.id, conn = self.conn, timeout = self.timeout)]
    fn repair(&mut self) -> QueryResult<usize> {
        self.id += 1;
        plain(&mut self.conn)
    }
}

impl Repository<Pooled> {
    #[with_lock("repository", conn = self.conn)]
    fn repair(&mut self) -> QueryResult<usize> {
        plain(&mut self.conn)
    }

    #[with_table_lock(write(Customer), conn = &mut self.conn)]
    fn repair_all(mut self) -> QueryResult<usize> {
        self.id += 1;
        plain(&mut self.conn)
    }

    /// Documented.
    ///
    /// # Errors
    ///
    /// Diesel's.
    #[with_lock("repository-{id}")]
    pub(crate) fn with_other(&self, conn: &mut MysqlConnection, id: i32) -> QueryResult<i32> {
        Ok(self.id + id)
    }
}

impl<'c> Repository<&'c mut MysqlConnection> {
    #[with_lock("repository", conn = self.conn)]
    fn repair(&mut self) -> QueryResult<usize> {
        plain(self.conn)
    }

    #[with_lock("repository", conn = *self.conn)]
    fn repair_twice(&mut self) -> QueryResult<usize> {
        self.repair()?;
        self.repair()
    }

    #[with_lock("repository")]
    fn associated(conn: &'c mut MysqlConnection) -> QueryResult<()> {
        plain(conn)?;
        Ok(())
    }
}

struct Deref(MysqlConnection);

impl std::ops::Deref for Deref {
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        &self.0
    }
}

impl DerefMut for Deref {
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        &mut self.0
    }
}

impl Deref {
    #[with_lock("self", conn = self)]
    fn itself(&mut self) -> QueryResult<usize> {
        plain(self)
    }
}

macro_rules! locked {
    ($name:ident, $lock:literal, $conn:ident) => {
        #[with_lock($lock, timeout = 1)]
        fn $name($conn: &mut MysqlConnection) -> QueryResult<usize> {
            plain($conn)
        }
    };
}
locked!(out_of_a_macro, "macro", db_conn);
