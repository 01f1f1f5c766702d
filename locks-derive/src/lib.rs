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
/// It can be derived for structs, including those with lifetimes, generics and where clauses.
/// Diesel's own tables are lockable without it: `write::<schema::audit_log::table>()`.
///
/// # Attributes
///
/// ## Required
///
/// None, if the table has the name that Diesel's own derives expect: that of the struct in snake
/// case, with an `s` appended. The table of `BlogPost` is `blog_posts`.
///
/// ## Optional
///
/// - `#[diesel(table_name = path)]`: the module made by `diesel::table!`, if it has another name or
///   is in another module. This is the attribute that Diesel's derives read; its other keys are
///   ignored. A model may have several tables, as with Diesel's `Insertable`, and is locked with
///   all of them.
/// - `#[lockable(parents(A, B))]`: the models that this one inherits from in multi-table
///   inheritance, where a row of this table continues a row of theirs. Locking this model also
///   locks their tables, at the same level, and those of their own parents. A table that is reached
///   twice is locked once.
/// - `#[lockable(crate = path)]`: the path of `diesel_locks`, for crates that re-export it.
#[proc_macro_derive(LockableTable, attributes(lockable, diesel))]
pub fn lockable_table(input: TokenStream) -> TokenStream {
    lockable_table::expand(&parse_macro_input!(input as DeriveInput)).into()
}

/// Runs the body of a function while holding a named lock.
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
/// The lock is released when the body ends: with its last expression, with `return` or `?`, or with
/// a panic. A connection that already holds the lock acquires it again immediately, so the function
/// may call itself. The body uses the connection under its own name and type; it cannot return
/// anything that borrows from it.
///
/// The attribute works on functions and methods, including those with generics, lifetimes, patterns
/// and `impl Trait`, and those written by a macro. It does not work on `async fn`, `const fn` and
/// `extern` functions.
///
/// # Arguments
///
/// ## Required
///
/// - The name comes first. It is a string literal, like that of `format!`: it captures identifiers,
///   such as the function's arguments (`"invoice-{number}"`), and takes positional and named
///   arguments (`"invoice-{}", order.id`). It is evaluated once, before the wait. A name without
///   placeholders is not allocated.
///
/// ## Optional
///
/// - `timeout = 2.5`: the maximum time to wait, in seconds or as a `Duration`; any expression. The
///   default is 10 seconds. A negative literal is refused, and a negative value counts as zero.
/// - `without_timeout`: waits for as long as it takes.
/// - `if_busy = Ok(())`: does not wait. If another connection holds the lock, the function returns
///   this value, which is evaluated only then.
/// - `hold_at_least = 10`: if the body succeeds, keeps the lock until this long after it was
///   acquired, in seconds or as a `Duration`; with `if_busy`, for a short job that many machines
///   start at almost the same time. See
///   [`Lock::hold_at_least`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.hold_at_least).
/// - `conn = self.conn`: the connection. The default is the argument named `conn`, or the only
///   argument whose type is `&mut` to a type with a name that ends in `Connection`, or to a type
///   parameter with such a bound. See [below](#the-connection).
/// - `transaction`: runs the body in a transaction, which is committed before the lock is released,
///   as
///   [`Lock::transaction`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.transaction)
///   does.
/// - `in_database = "shop"`: the database that prefixes the lock's name, instead of the
///   connection's; an expression of type `&str`.
/// - `server_wide`: does not prefix the lock's name.
/// - `shortened`: shortens a name that is too long for the server.
/// - `fenced`: draws a fencing token, as
///   [`Lock::fenced`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.fenced)
///   does. With `transaction` the work is committed only if no later holder has begun.
/// - `fenced_in = "shop"`: the same, with the tokens in this database; an expression of type
///   `&str`.
/// - `crate = path`: the path of `diesel_locks`, for crates that re-export it.
///
/// # The connection
///
/// The connection is a
/// [`LockConnection`](https://docs.rs/diesel-locks/latest/diesel_locks/trait.LockConnection.html),
/// or dereferences to one: a `&mut MysqlConnection`, a pooled connection, a wrapper of your own. It
/// may be borrowed or owned.
///
/// `conn = …` names a place: an argument, or a path of fields and indices such as
/// `self.shards[0].conn`. It is evaluated before and after the body, and has no side effects. A
/// call such as `pool.get()?` is refused, because the body could not use that connection: take the
/// connection as an argument.
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::with_lock;
///
/// struct Report {
///     conn: MysqlConnection,
///     tenant: String,
/// }
///
/// impl Report {
///     #[with_lock("nightly", conn = self.conn, in_database = &self.tenant, if_busy = Ok(0))]
///     fn build(&mut self) -> QueryResult<usize> {
///         diesel::sql_query("CALL build_report()").execute(&mut self.conn)
///     }
/// }
/// ```
///
/// # Errors
///
/// The function returns a `Result` whose error implements `From<diesel::result::Error>`, as for
/// Diesel's own transactions. If the body fails, its error is returned. Otherwise the errors are
/// those of
/// [`Lock::with`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.Lock.html#method.with).
///
/// # Several locks
///
/// Both attributes can be stacked. The outermost lock is acquired first and released last. Only one
/// of the locks on a connection can begin a transaction. The macros recognize each other by name,
/// so do not rename them on import.
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

/// Runs the body of a function while tables are locked, in a transaction.
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
/// If the body succeeds, its work is committed; on an error or a panic it is rolled back. The
/// tables are always unlocked. Inside the body, `conn.transaction` creates savepoints.
///
/// The functions that the attribute works on, [the connection](macro@with_lock#the-connection) and
/// [stacked attributes](macro@with_lock#several-locks) are the same as for
/// [`with_lock`](macro@with_lock).
///
/// # Arguments
///
/// ## Required
///
/// - `read(…)`, `write(…)`, or both: the tables. These are models that derive `LockableTable`,
///   Diesel's tables, and the names of other tables as string literals: `"legacy_log"`, or
///   `("other_db", "legacy_log")`. The tables that a model inherits from are locked with it. A
///   table at both levels is locked for writing. With an alias, as in `Place as "p"` or `"log" as
///   "l"`, the table is locked for queries that use the alias, and without the tables that it
///   inherits from, which would each need their own alias.
///
/// ## Optional
///
/// - `timeout = 5`: the maximum time to wait for each table, in seconds or as a `Duration`, rounded
///   up to whole seconds. The default is the session's own timeout.
/// - `conn = self.conn`: the connection, the same as for [`with_lock`](macro@with_lock).
/// - `crate = path`: the path of `diesel_locks`, for crates that re-export it.
///
/// ```no_run
/// # use diesel::prelude::*;
/// # use diesel_locks::with_table_lock;
/// diesel::table! { places (id) { id -> Integer, parent_id -> Integer, } }
///
/// #[with_table_lock(write(places::table, places::table as "p"))]
/// fn detach(conn: &mut MysqlConnection) -> QueryResult<usize> {
///     let sql = "UPDATE places LEFT JOIN places p ON p.id = places.parent_id
///         SET places.parent_id = 0 WHERE p.id IS NULL";
///     diesel::sql_query(sql).execute(conn)
/// }
/// ```
///
/// # Errors
///
/// The function returns a `Result` whose error implements `From<diesel::result::Error>`. If the
/// body fails, its error is returned. Otherwise the errors are those of
/// [`TableLock::with`](https://docs.rs/diesel-locks/latest/diesel_locks/struct.TableLock.html#method.with):
/// an open transaction, for example, is refused.
#[proc_macro_attribute]
pub fn with_table_lock(args: TokenStream, item: TokenStream) -> TokenStream {
    stack::expand(Kind::TableLock, args.into(), item.into()).into()
}
