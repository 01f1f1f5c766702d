//! Named locks and table locks of `MySQL` and `MariaDB`, for Diesel.
pub mod lockable;
