diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

struct Place;

fn main() {
    let _ = diesel_locks::TableLock::new().write::<Place>();
}
