//! What can be locked by its type, table names, and the set that a table lock locks.

use std::fmt;

use diesel::associations::HasTable;
use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::result::QueryResult;
use diesel::{QuerySource, Table};

use crate::error::Error;

/// A Diesel model, or a table, that a [`TableLock`](crate::TableLock) can lock by its type.
///
/// Every table that Diesel knows is lockable: `write::<schema::audit_log::table>()`. For models it
/// is derived, see [the derive macro](derive@crate::LockableTable).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked: it is neither a Diesel table nor a model that derives `LockableTable`",
    label = "not lockable",
    note = "derive it: `#[derive(diesel_locks::LockableTable)]`, with Diesel's `#[diesel(table_name = …)]`"
)]
pub trait LockableTable {
    /// The table that holds this model's rows.
    type Table: Table
        + HasTable<Table = Self::Table>
        + QuerySource<FromClause: QueryFragment<Mysql>>;

    /// Names the models that this one inherits from: [`Parents::add`] for each. None, by default.
    ///
    /// Their tables are locked with this one's.
    fn parents(parents: &mut Parents<'_>) {
        let _ = parents;
    }
}

// Without this, a model that lacks the derive would be told that it is no Diesel table.
#[diagnostic::do_not_recommend]
impl<T> LockableTable for T
where
    T: Table + HasTable<Table = T> + QuerySource<FromClause: QueryFragment<Mysql>>,
{
    type Table = T;
}

/// Takes the models that a model inherits from.
#[derive(Debug)]
pub struct Parents<'t> {
    tables: &'t mut Tables,
    level: Level,
    /// What was added already: a cycle ends, and what is reached twice is added once. Two models
    /// of one table may have other parents; functions that were merged have the same.
    visited: &'t mut Vec<(String, usize)>,
}

impl Parents<'_> {
    /// Adds a model, and what it inherits from.
    pub fn add<Model: LockableTable>(&mut self) {
        let name = match table_sql::<Model::Table>() {
            Ok(name) => name,
            Err(error) => return self.tables.refuse(error.to_string()),
        };
        let parents: fn(&mut Parents<'_>) = Model::parents;
        let visit = (name.clone(), parents as usize);
        if self.visited.contains(&visit) {
            return;
        }
        self.visited.push(visit);
        self.tables.add(TableReference { name, alias: None }, self.level);
        parents(&mut Parents { tables: self.tables, level: self.level, visited: self.visited });
    }
}

/// Diesel's own way to write the table, quoted: `sql_name` and the schema come out right.
fn table_sql<T>() -> QueryResult<String>
where
    T: HasTable<Table = T> + QuerySource<FromClause: QueryFragment<Mysql>>,
{
    let mut sql = MysqlQueryBuilder::new();
    T::table().from_clause().to_sql(&mut sql, &Mysql)?;
    Ok(sql.finish())
}

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

    /// The name in Diesel's SQL for it, which is the only way that Diesel gives it.
    fn from_sql(sql: &str) -> Option<Self> {
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

    /// What no server would answer clearly.
    fn fault(&self) -> Option<(&str, &'static str)> {
        let mut names = self.database.iter().chain([&self.table]);
        names.find_map(|name| name_fault(name).map(|reason| (name.as_str(), reason)))
    }
}

fn name_fault(name: &str) -> Option<&'static str> {
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

/// What others may still do with a locked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Read,
    Write,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TableReference {
    /// As SQL, quoted.
    name: String,
    alias: Option<String>,
}

/// The tables of one lock, each once an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    locked: Vec<(TableReference, Level)>,
    refused: Option<Refused>,
}

/// A name that cannot be sent: told when the lock is acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Tables {
    pub(crate) fn add_model<Model: LockableTable>(&mut self, level: Level) {
        Parents { tables: self, level, visited: &mut Vec::new() }.add::<Model>();
    }

    pub(crate) fn add_aliased<Model: LockableTable>(&mut self, alias: &str, level: Level) {
        if let Some(reason) = name_fault(alias) {
            return self.refuse_name(alias, reason);
        }
        match table_sql::<Model::Table>() {
            Ok(name) => self.add(TableReference { name, alias: Some(alias.to_owned()) }, level),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    pub(crate) fn add_named(&mut self, name: &TableName, level: Level) {
        if let Some((refused, reason)) = name.fault() {
            return self.refuse_name(refused, reason);
        }
        match name.to_sql() {
            Ok(name) => self.add(TableReference { name, alias: None }, level),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// The higher level wins.
    fn add(&mut self, table: TableReference, level: Level) {
        match self.locked.iter_mut().find(|(known, _)| *known == table) {
            Some((_, known)) => *known = level.max(*known),
            None => self.locked.push((table, level)),
        }
    }

    fn refuse_name(&mut self, name: &str, reason: &str) {
        self.refused.get_or_insert(Refused { name: name.to_owned(), reason: reason.to_owned() });
    }

    fn refuse(&mut self, reason: String) {
        self.refused.get_or_insert(Refused { name: String::new(), reason });
    }

    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.locked.is_empty()
    }

    /// The tables, each once, whatever its aliases.
    pub(crate) fn names(&self) -> Result<Vec<TableName>, Error> {
        let mut names = Vec::new();
        for (table, _) in &self.locked {
            let name = TableName::from_sql(&table.name).ok_or_else(|| Error::InvalidName {
                name: table.name.clone(),
                reason: "it is not the name of a table".to_owned(),
            })?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// `LOCK TABLES` takes this list.
impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (table, level)) in self.locked.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&table.name)?;
            if let Some(alias) = &table.alias {
                write!(f, " AS `{}`", alias.replace('`', "``"))?;
            }
            f.write_str(match level {
                Level::Read => " READ",
                Level::Write => " WRITE",
            })?;
        }
        Ok(())
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
