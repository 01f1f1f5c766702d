//! The quickstart's database and tables, and a visitor who disturbs the repair.

use std::{env, error, fmt};

use diesel::connection::SimpleConnection;
use diesel::dsl::{not, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_locks_examples::Scratch;

use self::schema::{places, restaurants, reviews};

pub(crate) type Failure = Box<dyn error::Error + Send + Sync>;

/// Ends the program with an error if a claim does not hold.
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

/// The temporary database of the quickstart.
pub(crate) struct Database {
    scratch: Scratch,
    server: String,
}

impl Database {
    pub(crate) fn create() -> Result<Self, Failure> {
        let url = env::var("DATABASE_URL").map_err(|_| {
            "DATABASE_URL is not set. Run `./dev quickstart`, or set it to the URL of a server on \
             which you may create databases, such as mysql://root@127.0.0.1:3306/"
        })?;
        let scratch = Scratch::create(&url, "diesel_locks_quickstart")?;
        let mut conn = MysqlConnection::establish(&scratch.url())?;
        conn.batch_execute(TABLES)?;
        let server = diesel::select(sql::<Text>("VERSION()")).get_result(&mut conn)?;
        Ok(Self { scratch, server })
    }

    pub(crate) fn connect(&self) -> ConnectionResult<MysqlConnection> {
        MysqlConnection::establish(&self.scratch.url())
    }

    /// Counts the restaurants that do not agree with their reviews, in the database.
    pub(crate) fn count_wrong(&self) -> Result<i64, Failure> {
        let agrees = sql::<Bool>(
            "(review_count, places.stars) = \
             (SELECT COUNT(*), SUM(reviews.stars) FROM reviews WHERE reviews.place_id = places.id)",
        );
        let wrong = restaurants::table.inner_join(places::table).filter(not(agrees)).count();
        Ok(wrong.get_result(&mut self.connect()?)?)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The server is version {}, the database {}.", self.server, self.scratch.name())
    }
}

/// A visitor who uses the same tables, and waits up to a second for each.
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

    /// Returns whether it was done; it is not if another connection has locked the table.
    pub(crate) fn adds_a_review(&mut self) -> Result<bool, Failure> {
        let review = (reviews::place_id.eq(1), reviews::stars.eq(5));
        let added = diesel::insert_into(reviews::table).values(review).execute(&mut self.0);
        self.done(added)
    }

    /// Returns whether it was done; it is not if another connection has locked the table.
    pub(crate) fn renames_a_place(&mut self) -> Result<bool, Failure> {
        let name = places::name.eq("The Old Anchor");
        let renamed = diesel::update(places::table.find(1)).set(name).execute(&mut self.0);
        self.done(renamed)
    }

    /// Reads the server's error number, which Diesel does not keep.
    fn done(&mut self, result: QueryResult<usize>) -> Result<bool, Failure> {
        let Err(error) = result else {
            return Ok(true);
        };
        self.0.batch_execute("GET DIAGNOSTICS CONDITION 1 @error = MYSQL_ERRNO")?;
        let waited = diesel::select(sql::<Bool>("@error = 1205")).get_result(&mut self.0)?;
        if waited { Ok(false) } else { Err(error.into()) }
    }
}
