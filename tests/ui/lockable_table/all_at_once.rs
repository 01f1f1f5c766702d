use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[diesel(table_name = restaurants)]
#[lockable(parent(Place), parents(Cafe), timeout = 5)]
enum Cafe {
    Open,
}

fn main() {}
