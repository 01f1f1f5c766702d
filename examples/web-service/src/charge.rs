//! What a request does, under the lock of its customer.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Double;
use diesel_async::pooled_connection::deadpool::PoolError;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_locks::with_lock;

diesel::table! {
    customers (id) {
        id -> Integer,
        owes -> Integer,
    }
}

diesel::table! {
    payments (id) {
        id -> Integer,
        customer_id -> Integer,
        cents -> Integer,
    }
}

/// Why a customer was not charged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChargeError {
    #[error("another request is charging this customer")]
    Busy,
    #[error("this customer owes nothing")]
    Charged,
    #[error("there is no such customer")]
    NoSuchCustomer,
    #[error("no connection to the database is free: {0}")]
    NoConnection(PoolError),
    #[error(transparent)]
    Failed(diesel_locks::Error),
}

/// The lock's errors arrive inside Diesel's.
impl From<diesel::result::Error> for ChargeError {
    fn from(error: diesel::result::Error) -> Self {
        match diesel_locks::Error::from(error) {
            diesel_locks::Error::Timeout { .. } => Self::Busy,
            error => Self::Failed(error),
        }
    }
}

/// Creates the tables, and the customers that are not there yet.
pub(crate) async fn set_up(conn: &mut AsyncMysqlConnection, customers: i32) -> QueryResult<()> {
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS customers (id INT PRIMARY KEY, owes INT NOT NULL);
         CREATE TABLE IF NOT EXISTS payments
         (id INT PRIMARY KEY AUTO_INCREMENT, customer_id INT NOT NULL, cents INT NOT NULL)",
    )
    .await?;
    let owing: Vec<_> =
        (1..=customers).map(|id| (customers::id.eq(id), customers::owes.eq(1200))).collect();
    diesel::insert_or_ignore_into(customers::table).values(owing).execute(conn).await?;
    Ok(())
}

/// Charges what the customer owes, and returns the amount.
///
/// The payment provider is called in the middle, outside of any transaction. Without the lock, two
/// requests at once would both find the customer in debt.
#[with_lock("invoice-{customer_id}", timeout = 0.1)]
pub(crate) async fn charge(
    conn: &mut AsyncMysqlConnection,
    customer_id: i32,
) -> Result<i32, ChargeError> {
    let customer = customers::table.find(customer_id);
    let owes: Option<i32> = customer.select(customers::owes).first(conn).await.optional()?;
    let cents = match owes {
        None => return Err(ChargeError::NoSuchCustomer),
        Some(0) => return Err(ChargeError::Charged),
        Some(cents) => cents,
    };
    call_provider(conn).await?;
    conn.transaction(async |conn| {
        diesel::insert_into(payments::table)
            .values((payments::customer_id.eq(customer_id), payments::cents.eq(cents)))
            .execute(conn)
            .await?;
        diesel::update(customer).set(customers::owes.eq(0)).execute(conn).await?;
        Ok(cents)
    })
    .await
}

/// Stands in for a slow call to a payment provider.
async fn call_provider(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    diesel::select(sql::<Double>("SLEEP(0.3)")).execute(conn).await?;
    Ok(())
}
