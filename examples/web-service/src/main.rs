//! A small web service that must not charge a customer twice.
//!
//! `POST /customers/{id}/charge` answers 200 if it has charged the customer, 409 if that was done
//! before, and 503 with `Retry-After` if another request is charging the customer.

mod charge;

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use diesel_async::AsyncMysqlConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;

use crate::charge::{ChargeError, charge};

type MysqlPool = Pool<AsyncMysqlConnection>;

#[derive(Debug, Parser)]
#[command(name = "web-service", version, about = "Charges customers, each once")]
struct Options {
    /// The database, as `mysql://user:password@host:port/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,

    /// Adds this many customers, who owe 1200 cents each
    #[arg(long, value_name = "N", default_value = "0")]
    customers: i32,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Connections to the database
    #[arg(long, value_name = "N", default_value = "10")]
    connections: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let manager = AsyncDieselConnectionManager::new(options.database_url);
    let pool: MysqlPool = Pool::builder(manager).max_size(options.connections).build()?;
    charge::set_up(&mut *pool.get().await?, options.customers).await?;
    let service = Router::new().route("/customers/{id}/charge", post(handle)).with_state(pool);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}

async fn handle(State(pool): State<MysqlPool>, Path(customer_id): Path<i32>) -> Response {
    // In a task, because the future of a handler is dropped when its client hangs up. The lock
    // would be released then, between the call of the provider and its record.
    let charged = tokio::spawn(async move {
        let mut conn = pool.get().await.map_err(ChargeError::NoConnection)?;
        charge(&mut conn, customer_id).await
    });
    match charged.await {
        Ok(Ok(cents)) => (StatusCode::OK, format!("charged {cents} cents\n")).into_response(),
        Ok(Err(error)) => error.into_response(),
        // It panicked, which released the lock.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl IntoResponse for ChargeError {
    fn into_response(self) -> Response {
        let reason = format!("{self}\n");
        match self {
            Self::Busy | Self::NoConnection(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], reason)
                    .into_response()
            }
            Self::Charged => (StatusCode::CONFLICT, reason).into_response(),
            Self::NoSuchCustomer => (StatusCode::NOT_FOUND, reason).into_response(),
            Self::Failed(error) => {
                eprintln!("error: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
