//! The derive and attribute macros of `diesel-locks`, which re-exports them. Depend on that crate.

mod attr;
mod diagnostic;
mod fallback;
mod lockable_table;
#[cfg(test)]
mod testing;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

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
