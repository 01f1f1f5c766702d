use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
union Place {
    id: u32,
}

fn main() {}
