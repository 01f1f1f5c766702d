mod acquire;
mod databases;
mod deadlocks;
mod inspect;
mod kills;
mod timeouts;
mod transactions;
