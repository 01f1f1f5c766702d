//! `#[with_table_lock]`.

mod args;
mod checked;
mod expanded;

pub(crate) use self::args::{ATTRIBUTE, Args, FORM};
pub(crate) use self::checked::TableLock;
