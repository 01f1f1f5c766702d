//! `#[with_lock]`.

mod args;
mod checked;
mod expanded;
mod format;

pub(crate) use self::args::{ATTRIBUTE, Args, FORM};
pub(crate) use self::checked::NamedLock;
