//! Table names: checked, quoted, and read from Diesel's SQL.

use std::fmt;

use diesel::mysql::MysqlQueryBuilder;
use diesel::query_builder::QueryBuilder;
use diesel::result::QueryResult;

/// The name of a table that has no Diesel type: `"legacy_log"`, or `("other_db", "legacy_log")` in
/// another database than the connection's. A dot inside a name is part of the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    database: Option<String>,
    table: String,
}

impl TableName {
    /// Its database, unless that is the connection's.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Its name in the database.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the name in Diesel's SQL for it, which is the only way that Diesel gives it.
    pub(super) fn from_sql(sql: &str) -> Option<Self> {
        let (first, rest) = identifier(sql)?;
        if rest.is_empty() {
            return Some(first.into());
        }
        let (second, rest) = identifier(rest.strip_prefix('.')?)?;
        rest.is_empty().then(|| (first, second).into())
    }

    fn to_sql(&self) -> QueryResult<String> {
        let mut sql = MysqlQueryBuilder::new();
        if let Some(database) = &self.database {
            sql.push_identifier(database)?;
            sql.push_sql(".");
        }
        sql.push_identifier(&self.table)?;
        Ok(sql.finish())
    }

    /// Returns the part that no server would refuse clearly, and why.
    pub(super) fn fault(&self) -> Option<(&str, &'static str)> {
        let mut names = self.database.iter().chain([&self.table]);
        names.find_map(|name| name_fault(name).map(|reason| (name.as_str(), reason)))
    }
}

pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.contains('\0') {
        Some("it contains a NUL character")
    } else if name.chars().any(|c| c > '\u{ffff}') {
        // MySQL 9.7 would lock a table with a `?` in the character's place.
        Some("it contains a character outside of the Basic Multilingual Plane")
    } else {
        None
    }
}

impl From<&str> for TableName {
    fn from(table: &str) -> Self {
        table.to_owned().into()
    }
}

impl From<String> for TableName {
    fn from(table: String) -> Self {
        Self { database: None, table }
    }
}

impl<Database: Into<String>, Name: Into<String>> From<(Database, Name)> for TableName {
    fn from((database, table): (Database, Name)) -> Self {
        Self { database: Some(database.into()), table: table.into() }
    }
}

/// Quoted, as the statements have it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_sql().map_err(|_| fmt::Error)?)
    }
}

/// Takes a quoted identifier off the front.
fn identifier(sql: &str) -> Option<(String, &str)> {
    let mut rest = sql.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (text, after) = rest.split_once('`')?;
        name.push_str(text);
        let Some(quoted) = after.strip_prefix('`') else {
            return Some((name, after));
        };
        name.push('`');
        rest = quoted;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_in_sql_is_read_as_it_was_written(
            database in prop::option::of("[a-z`.é ]{1,8}"),
            table in "[a-z`.é ]{1,8}",
        ) {
            let name = TableName { database, table };
            let sql = name.to_sql().unwrap_or_default();
            prop_assert_eq!(TableName::from_sql(&sql), Some(name));
        }

        #[test]
        fn other_sql_is_no_name(sql in "[a`. ]{0,8}") {
            if let Some(name) = TableName::from_sql(&sql) {
                prop_assert_eq!(name.to_sql().unwrap_or_default(), sql);
            }
        }
    }
}
