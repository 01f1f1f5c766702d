//! Data to try the program with, made by the server itself.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::Lock;

use crate::cli::Failure;
use crate::schema::{places, tariffs};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS tariffs (
        id INT PRIMARY KEY,
        city VARCHAR(100) NOT NULL,
        cents_per_seat INT NOT NULL
    ) ENGINE = InnoDB;
    CREATE TABLE IF NOT EXISTS places (
        id BIGINT PRIMARY KEY,
        name VARCHAR(100) NOT NULL,
        tariff_id INT NOT NULL,
        FOREIGN KEY (tariff_id) REFERENCES tariffs (id)
    ) ENGINE = InnoDB;
    CREATE TABLE IF NOT EXISTS restaurants (
        place_id BIGINT PRIMARY KEY,
        seats INT NOT NULL,
        FOREIGN KEY (place_id) REFERENCES places (id)
    ) ENGINE = InnoDB;
    CREATE TABLE IF NOT EXISTS pizzerias (
        restaurant_id BIGINT PRIMARY KEY,
        fee_cents INT NOT NULL,
        FOREIGN KEY (restaurant_id) REFERENCES restaurants (place_id)
    ) ENGINE = InnoDB";

const CITIES: [&str; 5] = ["Bergen", "Lisbon", "Naples", "Utrecht", "Zagreb"];

/// If two are started at once, the second waits and then finds rows. All rows are committed
/// together: after a kill there are at most empty tables, which the next run fills.
static SEEDING: Lock = Lock::new("data-migration-seed").without_timeout();

pub(crate) fn seed(conn: &mut MysqlConnection, rows: u32) -> Result<(), Failure> {
    SEEDING.with(conn, |conn| {
        conn.batch_execute(TABLES)?;
        conn.transaction(|conn| {
            let row = places::table.select(places::id).first::<i64>(conn).optional()?;
            if row.is_some() {
                return Err(Failure::NotEmpty);
            }
            fill(conn, rows.into()).map_err(Failure::from)
        })
    })
}

fn fill(conn: &mut MysqlConnection, rows: i64) -> QueryResult<()> {
    let cities = (1..).zip(CITIES).map(|(id, city)| {
        (tariffs::id.eq(id), tariffs::city.eq(city), tariffs::cents_per_seat.eq(1_000 + 50 * id))
    });
    diesel::insert_into(tariffs::table).values(cities.collect::<Vec<_>>()).execute(conn)?;

    conn.batch_execute("INSERT INTO places (id, name, tariff_id) VALUES (1, 'Pizzeria 1', 2)")?;
    let mut made = 1;
    while made < rows {
        // As many again as there are, or as many as are missing.
        conn.batch_execute(&format!(
            "INSERT INTO places (id, name, tariff_id)
             SELECT id + {made}, CONCAT('Pizzeria ', id + {made}), 1 + (id + {made}) % 5
             FROM places WHERE id <= {rows} - {made}"
        ))?;
        made = rows.min(2 * made);
    }
    conn.batch_execute(
        "INSERT INTO restaurants (place_id, seats) SELECT id, 20 + id % 80 FROM places;
         INSERT INTO pizzerias (restaurant_id, fee_cents)
             SELECT place_id, IF(place_id % 10 = 0, seats * cents_per_seat, 0)
             FROM restaurants
             JOIN places ON places.id = place_id
             JOIN tariffs ON tariffs.id = tariff_id",
    )
}
