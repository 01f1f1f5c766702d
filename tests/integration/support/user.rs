//! Users with few privileges.

use std::iter;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::schema::Database;
use super::server;

/// A user, named like the database, who is dropped with this value.
pub(crate) struct User<'d> {
    db: &'d Database,
}

impl<'d> User<'d> {
    /// Returns a user who may do everything in the database, and has these privileges besides.
    pub(crate) fn new(db: &'d Database, grants: &[&str]) -> Self {
        let everything = format!("ALL ON `{}`.*", db.name());
        let grants = iter::once(everything).chain(grants.iter().map(ToString::to_string));
        Self::with_only(db, &grants.collect::<Vec<_>>())
    }

    /// Returns a user who has these privileges alone.
    pub(crate) fn with_only(db: &'d Database, grants: &[String]) -> Self {
        let mut admin = server::connect();
        let name = db.name();
        admin.batch_execute(&format!("CREATE USER '{name}'@'%'")).unwrap();
        for grant in grants {
            admin.batch_execute(&format!("GRANT {grant} TO '{name}'@'%'")).unwrap();
        }
        Self { db }
    }

    pub(crate) fn name(&self) -> &str {
        self.db.name()
    }

    pub(crate) fn connect(&self) -> MysqlConnection {
        let url = self.db.url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        MysqlConnection::establish(&format!("mysql://{}@{rest}", self.name())).unwrap()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        let _ = server::connect().batch_execute(&format!("DROP USER '{}'@'%'", self.name()));
    }
}
