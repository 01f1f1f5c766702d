#![deny(unused_must_use)]

use diesel_locks::{Lock, TableLock};

diesel::table! { places (id) { id -> Integer, } }

fn main() {
    Lock::new("nightly");
    TableLock::new().write::<places::table>();
}
