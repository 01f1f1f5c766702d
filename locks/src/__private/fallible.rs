//! The return types of functions with a lock attribute.

use diesel::result::Error as DieselError;

use crate::{Error, FromDieselError};

/// The return type of a function with a lock attribute.
#[diagnostic::on_unimplemented(
    message = "a function with a lock attribute must return a `Result`, but `{Self}` is not one",
    label = "not a `Result`",
    note = "acquiring the lock can fail, and the function then returns that error"
)]
pub trait Fallible: Sized {
    fn failed(error: Error) -> Self;
    fn succeeded(&self) -> bool;
}

impl<T, E: FromDieselError> Fallible for Result<T, E> {
    fn failed(error: Error) -> Self {
        Err(DieselError::from(error).into())
    }

    fn succeeded(&self) -> bool {
        self.is_ok()
    }
}
