//! The return types of functions with a lock attribute.

use diesel::result::Error as DieselError;

use crate::Error;

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
        Err(E::from_diesel_error(error.into()))
    }

    fn succeeded(&self) -> bool {
        self.is_ok()
    }
}

/// `From<diesel::result::Error>`, under a name that has its own message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` must implement `From<diesel::result::Error>` to return the error of a lock",
    label = "cannot be made from Diesel's error",
    note = "with thiserror this is a variant: `#[error(transparent)] Diesel(#[from] diesel::result::Error)`"
)]
pub trait FromDieselError {
    fn from_diesel_error(error: DieselError) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<DieselError>> FromDieselError for E {
    fn from_diesel_error(error: DieselError) -> Self {
        error.into()
    }
}
