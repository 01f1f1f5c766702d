//! The derive and attribute macros of `diesel-locks`, which re-exports them. Depend on that crate.

mod attr;
mod connection;
mod diagnostic;
mod function;
mod lockable_table;
mod options;
mod root;
mod stack;
#[cfg(test)]
mod testing;
mod with_lock;
mod with_table_lock;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::stack::Kind;

/// Makes a Diesel model lockable by its type, with
/// [`TableLock`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.TableLock.html).
///
/// ```
/// use diesel::prelude::*;
/// use diesel_locks::{LockableTable, TableLock};
///
/// diesel::table! { places (id) { id -> Integer, name -> Text, } }
/// diesel::table! { restaurants (place_id) { place_id -> Integer, seats -> Integer, } }
///
/// #[derive(Queryable, LockableTable)]
/// struct Place {
///     id: i32,
///     name: String,
/// }
///
/// #[derive(Queryable, LockableTable)]
/// #[diesel(table_name = restaurants)]
/// #[lockable(parents(Place))]
/// struct Restaurant {
///     place_id: i32,
///     seats: i32,
/// }
///
/// let lock = TableLock::new().write::<Restaurant>();
/// assert_eq!(lock.to_string(), "LOCK TABLES `restaurants` WRITE, `places` WRITE");
/// ```
///
/// It works for structs, with lifetimes, generics and where clauses. A Diesel table needs no derive:
/// `write::<schema::audit_log::table>()`.
///
/// # Attributes
///
/// ## Required
///
/// None, if the table has the name that Diesel's own derives expect: the struct's in snake case, with
/// an `s` at its end. The table of `BlogPost` is `blog_posts`.
///
/// ## Optional
///
/// - `#[diesel(table_name = path)]`: the module that `diesel::table!` made, where it has another name
///   or is in another module. It is the attribute that Diesel's derives read; its other keys are
///   ignored.
/// - `#[lockable(parents(A, B))]`: the models that this one inherits from in multi-table
///   inheritance, where a row of this table continues a row of theirs. Whoever locks this model locks
///   their tables too, at the same level, and those of their own parents. A table that is reached
///   twice is locked once.
/// - `#[lockable(crate = path)]`: where `diesel_locks` is, if not in the root under that name; for
///   crates that re-export it.
#[proc_macro_derive(LockableTable, attributes(lockable, diesel))]
pub fn lockable_table(input: TokenStream) -> TokenStream {
    lockable_table::expand(&parse_macro_input!(input as DeriveInput)).into()
}

/// Runs a function under a named lock: all of its body.
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::with_lock;
/// # diesel::table! { invoices (id) { id -> Integer, paid -> Bool, } }
/// # use self::invoices::dsl::*;
///
/// #[with_lock("invoice-{number}", timeout = 2.5)]
/// fn pay(conn: &mut MysqlConnection, number: i32) -> QueryResult<usize> {
///     diesel::update(invoices.find(number)).set(paid.eq(true)).execute(conn)
/// }
/// # fn main() {}
/// ```
///
/// The lock is released when the body ends: by its last line, by `return` or `?`, or by a panic. A
/// connection that holds the lock gets it again at once, so the function may call itself. The body sees
/// the connection under its own name, with its own type; it cannot return what borrows it.
///
/// It works for functions and methods with generics, lifetimes, `impl Trait` and patterns; not for
/// `async fn`, `const fn` and `extern` functions.
///
/// # Attributes
///
/// ## Required
///
/// - The name, a string literal, comes first. It follows `format!`: it captures plain names, such as
///   the function's arguments (`"invoice-{number}"`), and takes positional and named arguments
///   (`"invoice-{}", order.id`). It is evaluated once, before the wait. A name without placeholders
///   costs no allocation.
///
/// ## Optional
///
/// - `timeout = 2.5`: how long to wait, in seconds, or as a `Duration`; any expression. 10 seconds,
///   unless it is given. Less than nothing is nothing.
/// - `conn = self.conn`: the connection. Unless it is given it is the argument `conn`, else the only
///   one whose type is a `&mut` to something called `…Connection`, pooled ones included. A call, such
///   as `conn = pool.get()?`, is evaluated once, and the connection kept until the function ends.
/// - `transaction`: runs the body in a transaction, as
///   [`Lock::transaction`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.transaction)
///   does.
/// - `server_wide`: leaves the database out of the lock's name.
/// - `crate = path`: where `diesel_locks` is, if not in the root under that name.
///
/// # Errors
///
/// The function returns a `Result` whose error implements `From<diesel_locks::Error>`; Diesel's own
/// does. An error of the body comes first; else the function returns those of
/// [`Lock::with`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.with).
///
/// # Several locks
///
/// Both attributes can be stacked. The outermost one is taken first, and released last. They find
/// each other by their names, so they are to be imported under these.
///
/// ```no_run
/// # use diesel::prelude::*;
/// use diesel_locks::{with_lock, with_table_lock};
/// # diesel::table! { accounts (id) { id -> Integer, } }
///
/// struct Ledger {
///     conn: MysqlConnection,
///     branch: String,
/// }
///
/// impl Ledger {
///     #[with_lock("close-{}", self.branch, conn = self.conn)]
///     #[with_table_lock(write(accounts::table), conn = self.conn)]
///     fn close(&mut self) -> QueryResult<i64> {
///         accounts::table.count().get_result(&mut self.conn)
///     }
/// }
/// ```
#[proc_macro_attribute]
pub fn with_lock(args: TokenStream, item: TokenStream) -> TokenStream {
    stack::expand(Kind::Lock, args.into(), item.into()).into()
}

/// Runs a function while tables are locked: all of its body, in a transaction.
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::{LockableTable, with_table_lock};
///
/// diesel::table! { customers (id) { id -> Integer, visits -> Integer, } }
/// diesel::table! { visits (id) { id -> Integer, customer_id -> Integer, } }
///
/// #[derive(LockableTable)]
/// struct Customer {
///     id: i32,
/// }
///
/// #[with_table_lock(write(Customer), read(visits::table, "legacy_log"), timeout = 5)]
/// fn recount(conn: &mut MysqlConnection) -> QueryResult<usize> {
///     let all: i64 = visits::table.count().get_result(conn)?;
///     diesel::update(customers::table).set(customers::visits.eq(all as i32)).execute(conn)
/// }
/// ```
///
/// When the body succeeds its work is committed; on an error and on a panic it is rolled back. The
/// tables are unlocked in any case. Inside, `conn.transaction` makes savepoints.
///
/// Everything else is as of [`with_lock`](macro@with_lock): the functions that it works for, how the
/// connection is found, the errors, and how attributes are stacked.
///
/// # Attributes
///
/// ## Required
///
/// - `read(…)`, `write(…)`, or both: the tables. Models that derive `LockableTable`, Diesel's tables,
///   and the names of others as string literals: `"legacy_log"`, or `("other_db", "legacy_log")`. The
///   tables that a model inherits from are locked with it. A table at both levels is locked for
///   writing.
///
/// ## Optional
///
/// - `timeout = 5`: how long to wait for each table, in seconds or as a `Duration`, rounded up to
///   whole seconds. Without it the session's own limit is in force.
/// - `conn = self.conn` and `crate = path`, as of [`with_lock`](macro@with_lock).
///
/// # Errors
///
/// Of the body, first; else those of
/// [`TableLock::with`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.TableLock.html#method.with):
/// inside an open transaction it is refused.
#[proc_macro_attribute]
pub fn with_table_lock(args: TokenStream, item: TokenStream) -> TokenStream {
    stack::expand(Kind::TableLock, args.into(), item.into()).into()
}
