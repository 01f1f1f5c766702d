//! `#[with_table_lock]`.

mod args;
mod expand;
mod valid;

pub(crate) use self::args::{ATTRIBUTE, FORM};
pub(crate) use self::expand::call;
