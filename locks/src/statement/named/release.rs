//! `RELEASE_LOCK` and `RELEASE_ALL_LOCKS`.

use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;

use super::{Bound, LockFunction, push_checked, push_name};
use crate::name::FullName;
use crate::statement::{Text, Texts};

static TEXTS: Texts = Texts::new();

/// `RELEASE_LOCK`, which returns 1 if the connection held the lock.
#[derive(Debug)]
pub(crate) struct Release<'n> {
    name: &'n FullName,
    text: Text,
}

impl<'n> Release<'n> {
    pub(crate) fn new(name: &'n FullName) -> Self {
        Self { name, text: TEXTS.current() }
    }
}

impl LockFunction for Release<'_> {
    type Any = Release<'static>;

    fn name(&self) -> &FullName {
        self.name
    }

    fn text(&self) -> Text {
        self.text
    }

    fn walk_call<'b>(&'b self, bound: Bound, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("RELEASE_LOCK(");
            push_name(out.reborrow(), self.name, bound)?;
            out.push_sql(")");
            Ok(())
        };
        push_checked(out, self.name, bound, call, "0")
    }
}

/// `RELEASE_LOCK` as plain text, for when a prepared statement cannot be had. Names are sent in
/// hexadecimal digits, so that nothing in them needs quoting.
pub(crate) fn release_as_text(name: &FullName) -> String {
    let release = format!("RELEASE_LOCK({})", literal(name));
    match name.checked_database() {
        Some(database) => {
            let database = name.digits_of(database);
            format!("DO IF(CAST(DATABASE() AS BINARY) = X'{database}', {release}, NULL)")
        }
        None => format!("DO {release}"),
    }
}

/// Returns the name of the lock as an expression.
pub(super) fn literal(name: &FullName) -> String {
    let literal = format!("CONVERT(X'{}' USING utf8mb4)", name.digits());
    if name.is_shortened() {
        format!("CONCAT(LEFT({literal}, 23), '-', LEFT(SHA2({literal}, 256), 40))")
    } else {
        literal
    }
}

/// Keeps the session busy for that long.
pub(crate) fn sleep(time: Duration) -> String {
    let microseconds = time.as_nanos().div_ceil(1_000);
    format!("DO SLEEP({}.{:06})", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// An expression that releases all, and is how many there were.
pub(crate) const RELEASE_ALL: &str = "RELEASE_ALL_LOCKS()";
