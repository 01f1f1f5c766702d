mod sessions;
mod transactions;
mod waits;
