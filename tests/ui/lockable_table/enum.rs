use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[diesel(table_name = restaurants)]
enum Restaurant {
    Open,
}

fn main() {
    // No second error, here or elsewhere.
    let _ = diesel_locks::TableLock::new().write::<Restaurant>();
}
