//! A database for each test, dropped when the test ends.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};

use super::proxy::Proxy;
use super::server::{self, Admin};

diesel::table! {
    places (id) {
        id -> Integer,
        name -> VarChar,
    }
}

diesel::table! {
    restaurants (place_id) {
        place_id -> Integer,
        seats -> Integer,
    }
}

diesel::table! {
    customers (id) {
        id -> Integer,
        name -> VarChar,
        restaurant_id -> Integer,
    }
}

diesel::table! {
    audit_log (id) {
        id -> Integer,
        message -> VarChar,
    }
}

diesel::joinable!(customers -> restaurants (restaurant_id));
diesel::allow_tables_to_appear_in_same_query!(audit_log, customers, places, restaurants);

pub(crate) const TABLES: &str = "
    CREATE TABLE places (
        id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100) NOT NULL) ENGINE = InnoDB;
    CREATE TABLE restaurants (place_id INT PRIMARY KEY, seats INT NOT NULL) ENGINE = InnoDB;
    CREATE TABLE customers (
        id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100) NOT NULL, restaurant_id INT NOT NULL)
        ENGINE = InnoDB;
    CREATE TABLE audit_log (
        id INT PRIMARY KEY AUTO_INCREMENT, message VARCHAR(200) NOT NULL) ENGINE = InnoDB";

pub(crate) type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

/// A database that only one test uses.
///
/// Create it before its connections, so that it is dropped after them. Connections that are still
/// open by then, in a thread that hangs or after a panic, are killed first, because `DROP DATABASE`
/// would wait for their locks.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// Creates an empty database.
    ///
    /// Its name is short, because it counts toward the length of a named lock's name.
    pub(crate) fn new() -> Self {
        static RUN: LazyLock<u32> =
            LazyLock::new(|| (RandomState::new().hash_one(std::process::id()) % 0x100_0000) as u32);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("t{:06x}_{count}", *RUN))
    }

    /// Creates a database with the tables of this module.
    pub(crate) fn with_tables() -> Self {
        let database = Self::new();
        database.connect().batch_execute(TABLES).unwrap();
        database
    }

    /// Creates a database with the tables of this module, and that of the fencing tokens.
    pub(crate) fn with_fences() -> Self {
        let database = Self::with_tables();
        diesel_locks::Lock::create_fences(&mut database.connect()).unwrap();
        database
    }

    /// Creates a database with this name, for tests that need two with similar names.
    pub(crate) fn named(name: &str) -> Self {
        let quoted = name.replace('`', "``");
        server::connect().batch_execute(&format!("CREATE DATABASE `{quoted}`")).unwrap();
        Self { name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name by which the server knows a lock of this database.
    pub(crate) fn full_name(&self, lock: &str) -> String {
        format!("{}.{lock}", self.name)
    }

    pub(crate) fn url(&self) -> String {
        server::url_through(server::host(), &self.name)
    }

    pub(crate) fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url()).unwrap()
    }

    /// Connects through the proxy.
    pub(crate) fn connect_through(&self, proxy: &Proxy) -> MysqlConnection {
        MysqlConnection::establish(&self.url_through(proxy)).unwrap()
    }

    pub(crate) fn url_through(&self, proxy: &Proxy) -> String {
        server::url_through(&proxy.host(), &self.name)
    }

    pub(crate) fn pool(&self, size: u32) -> MysqlPool {
        Pool::builder().max_size(size).build(ConnectionManager::new(self.url())).unwrap()
    }

    /// Makes this the default database of a connection.
    pub(crate) fn enter(&self, conn: &mut MysqlConnection) {
        conn.batch_execute(&format!("USE `{}`", self.name.replace('`', "``"))).unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut admin = Admin::new();
        admin.kill_all_in(&self.name);
        let quoted = self.name.replace('`', "``");
        let dropped =
            admin.0.batch_execute(&format!("SET lock_wait_timeout = 20; DROP DATABASE `{quoted}`"));
        if let Err(error) = dropped {
            // A second panic would abort the whole suite and hide the first.
            assert!(thread::panicking(), "{} cannot be dropped: {error}", self.name);
        }
    }
}
