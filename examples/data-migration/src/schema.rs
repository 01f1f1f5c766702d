//! The tables, and the models that are locked.

use diesel::prelude::*;
use diesel_locks::LockableTable;

diesel::table! {
    /// What a city charges for each seat.
    tariffs (id) {
        id -> Integer,
        city -> VarChar,
        cents_per_seat -> Integer,
    }
}

diesel::table! {
    places (id) {
        id -> BigInt,
        name -> VarChar,
        tariff_id -> Integer,
    }
}

diesel::table! {
    restaurants (place_id) {
        place_id -> BigInt,
        seats -> Integer,
    }
}

diesel::table! {
    pizzerias (restaurant_id) {
        restaurant_id -> BigInt,
        /// The yearly fee, as it was computed when the pizzeria was entered.
        fee_cents -> Integer,
    }
}

diesel::joinable!(places -> tariffs (tariff_id));
diesel::joinable!(restaurants -> places (place_id));
diesel::joinable!(pizzerias -> restaurants (restaurant_id));
diesel::allow_tables_to_appear_in_same_query!(pizzerias, places, restaurants, tariffs);

#[derive(Debug, Queryable, Selectable, LockableTable)]
pub(crate) struct Tariff {
    pub(crate) city: String,
    pub(crate) cents_per_seat: i32,
}

#[derive(Debug, Queryable, Selectable, LockableTable)]
pub(crate) struct Place {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// A restaurant is a place: its row continues that place's row.
#[derive(Debug, Queryable, Selectable, LockableTable)]
#[lockable(parents(Place))]
pub(crate) struct Restaurant {
    pub(crate) seats: i32,
}

/// A pizzeria is a restaurant. Locking it locks the tables of all three.
#[derive(Debug, Queryable, Selectable, LockableTable)]
#[lockable(parents(Restaurant))]
pub(crate) struct Pizzeria {
    pub(crate) fee_cents: i32,
}
