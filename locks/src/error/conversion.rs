//! The error types that closures and functions under a lock return.

use diesel::result::Error as DieselError;

/// An error type that can carry the error of a lock: every type that implements
/// `From<diesel::result::Error>`, the same as for Diesel's own transactions.
///
/// It is `From<diesel::result::Error>` under another name, whose compile error says what to do.
/// Neither implement it nor name it: a generic function requires `E: From<diesel::result::Error>`.
///
/// ```
/// use diesel::MysqlConnection;
/// use diesel_locks::Lock;
///
/// fn exclusively<T, E>(
///     conn: &mut MysqlConnection,
///     work: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
/// ) -> Result<T, E>
/// where
///     E: From<diesel::result::Error>,
/// {
///     Lock::new("nightly-report").with(conn, work)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` must implement `From<diesel::result::Error>` to return the error of a lock",
    label = "cannot be made from Diesel's error",
    note = "with thiserror this is a variant: `#[error(transparent)] Diesel(#[from] diesel::result::Error)`"
)]
pub trait FromDieselError: From<DieselError> {}

#[diagnostic::do_not_recommend]
impl<E: From<DieselError>> FromDieselError for E {}
