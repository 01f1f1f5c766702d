//! `#[derive(LockableTable)]`.

mod ast;
mod expand;
mod table;
#[cfg(test)]
mod tests;
mod valid;

pub(crate) use self::expand::expand;
