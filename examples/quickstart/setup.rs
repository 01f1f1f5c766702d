//! What the quickstart needs besides the locks: a database of its own, its tables, and somebody who
//! disturbs.

use std::{env, error, fmt, process};

use diesel::connection::SimpleConnection;
use diesel::dsl::{not, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use self::schema::{places, restaurants, reviews};

pub(crate) type Failure = Box<dyn error::Error + Send + Sync>;

/// Ends the program, with an error, where something is not as it was promised.
pub(crate) fn ensure(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

pub(crate) mod schema {
    diesel::table! {
        steps (id) {
            id -> Integer,
            worker -> Text,
        }
    }

    diesel::table! {
        places (id) {
            id -> Integer,
            name -> Text,
            stars -> BigInt,
        }
    }

    diesel::table! {
        restaurants (place_id) {
            place_id -> Integer,
            review_count -> BigInt,
        }
    }

    diesel::table! {
        reviews (id) {
            id -> Integer,
            place_id -> Integer,
            stars -> BigInt,
        }
    }

    diesel::joinable!(restaurants -> places (place_id));
    diesel::allow_tables_to_appear_in_same_query!(places, restaurants, reviews);
}

/// Two of the three restaurants do not agree with their reviews.
const TABLES: &str = "
    CREATE TABLE steps (id INT AUTO_INCREMENT PRIMARY KEY, worker TEXT NOT NULL) ENGINE = InnoDB;
    CREATE TABLE places (id INT PRIMARY KEY, name TEXT NOT NULL, stars BIGINT NOT NULL)
        ENGINE = InnoDB;
    CREATE TABLE restaurants (place_id INT PRIMARY KEY, review_count BIGINT NOT NULL)
        ENGINE = InnoDB;
    CREATE TABLE reviews (id INT AUTO_INCREMENT PRIMARY KEY, place_id INT NOT NULL,
        stars BIGINT NOT NULL) ENGINE = InnoDB;
    INSERT INTO places VALUES (1, 'The Anchor', 9), (2, 'Blue Door', 17), (3, 'Corner Table', 4);
    INSERT INTO restaurants VALUES (1, 2), (2, 3), (3, 3);
    INSERT INTO reviews (place_id, stars) VALUES (1, 5), (1, 4), (2, 3), (2, 5), (2, 4), (3, 4);
";

/// A database that is dropped with its value, when the program fails too.
pub(crate) struct Database {
    name: String,
    url: String,
    admin: String,
    server: String,
}

impl Database {
    pub(crate) fn create() -> Result<Self, Failure> {
        let admin = env::var("DATABASE_URL").map_err(|_| {
            "DATABASE_URL is not set. Run `./dev quickstart`, or set it to the address of a server \
             on which a database may be created, such as mysql://root@127.0.0.1:3306/"
        })?;
        let name = format!("diesel_locks_quickstart_{}", process::id());
        let url = with_database(&admin, &name).ok_or("DATABASE_URL is not mysql://user@host/")?;

        let mut conn = MysqlConnection::establish(&admin)?;
        let server = diesel::select(sql::<Text>("VERSION()")).get_result(&mut conn)?;
        conn.batch_execute(&format!("CREATE DATABASE {name}"))?;
        let database = Self { name, url, admin, server };
        database.connect()?.batch_execute(TABLES)?;
        Ok(database)
    }

    pub(crate) fn connect(&self) -> ConnectionResult<MysqlConnection> {
        MysqlConnection::establish(&self.url)
    }

    /// How many restaurants do not agree with their reviews, as the database counts it.
    pub(crate) fn count_wrong(&self) -> Result<i64, Failure> {
        let agrees = sql::<Bool>(
            "(review_count, places.stars) = \
             (SELECT COUNT(*), SUM(reviews.stars) FROM reviews WHERE reviews.place_id = places.id)",
        );
        let wrong = restaurants::table.inner_join(places::table).filter(not(agrees)).count();
        Ok(wrong.get_result(&mut self.connect()?)?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = MysqlConnection::establish(&self.admin)
            .map_err(|error| error.to_string())
            .and_then(|mut conn| {
                let drop = format!("DROP DATABASE {}", self.name);
                conn.batch_execute(&drop).map_err(|error| error.to_string())
            });
        if let Err(error) = dropped {
            eprintln!("The database {} could not be dropped: {error}", self.name);
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The server is version {}, the database {}.", self.server, self.name)
    }
}

/// The same address, with another database in it.
fn with_database(url: &str, database: &str) -> Option<String> {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split('/').next()?;
    let question_mark = if options.is_empty() { "" } else { "?" };
    Some(format!("{scheme}://{host}/{database}{question_mark}{options}"))
}

/// Somebody who uses the same tables, and waits for none of them longer than a second.
pub(crate) struct Visitor(MysqlConnection);

impl Visitor {
    pub(crate) fn of(database: &Database) -> Result<Self, Failure> {
        let mut conn = database.connect()?;
        conn.batch_execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")?;
        Ok(Self(conn))
    }

    pub(crate) fn reads_reviews(&mut self) -> bool {
        reviews::table.count().get_result::<i64>(&mut self.0).is_ok()
    }

    /// Whether it was done, or else refused because somebody has locked the table.
    pub(crate) fn adds_a_review(&mut self) -> Result<bool, Failure> {
        let review = (reviews::place_id.eq(1), reviews::stars.eq(5));
        let added = diesel::insert_into(reviews::table).values(review).execute(&mut self.0);
        self.done(added)
    }

    /// Whether it was done, or else refused because somebody has locked the table.
    pub(crate) fn renames_a_place(&mut self) -> Result<bool, Failure> {
        let name = places::name.eq("The Old Anchor");
        let renamed = diesel::update(places::table.find(1)).set(name).execute(&mut self.0);
        self.done(renamed)
    }

    /// Looks at the server's error number, which Diesel does not keep.
    fn done(&mut self, result: QueryResult<usize>) -> Result<bool, Failure> {
        let Err(error) = result else {
            return Ok(true);
        };
        self.0.batch_execute("GET DIAGNOSTICS CONDITION 1 @error = MYSQL_ERRNO")?;
        let waited = diesel::select(sql::<Bool>("@error = 1205")).get_result(&mut self.0)?;
        if waited { Ok(false) } else { Err(error.into()) }
    }
}
