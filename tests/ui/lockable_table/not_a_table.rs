use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

mod cafes {
    #[allow(non_camel_case_types)]
    pub struct table;
}

#[derive(LockableTable)]
struct Cafe;

fn main() {}
