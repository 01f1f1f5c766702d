//! A small web service that must not charge a customer twice.
//!
//! `POST /customers/{id}/charge` answers 200 if it has charged the customer, 409 if that was done before,
//! and 503 with `Retry-After` if another request is charging the customer.

mod charge;

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use diesel::mysql::MysqlConnection;
use diesel::r2d2::{ConnectionManager, Pool};

use crate::charge::{ChargeError, charge};

type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

#[derive(Debug, Parser)]
#[command(name = "web-service", version, about = "Charges customers, each once")]
struct Options {
    /// The database, as `mysql://user:password@host:port/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Connections to the database
    #[arg(long, value_name = "N", default_value = "10")]
    connections: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let pool = Pool::builder()
        .max_size(options.connections)
        .build(ConnectionManager::new(options.database_url))?;
    charge::create_tables(&mut *pool.get()?)?;
    let service = Router::new().route("/customers/{id}/charge", post(handle)).with_state(pool);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}

async fn handle(State(pool): State<MysqlPool>, Path(customer_id): Path<i32>) -> Response {
    // Diesel's connection blocks, and so does waiting for a lock.
    let charged = tokio::task::spawn_blocking(move || {
        let mut conn = pool.get().map_err(ChargeError::NoConnection)?;
        charge(&mut conn, customer_id)
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
