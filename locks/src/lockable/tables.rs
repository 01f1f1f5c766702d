//! The set of tables that a table lock locks.

use std::fmt;

use super::table_name::name_fault;
use super::{LockableTable, Parents, TableName, table_sql};
use crate::error::Error;

/// What others may still do with a locked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Read,
    Write,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableReference {
    /// As SQL, quoted.
    pub(super) name: String,
    pub(super) alias: Option<String>,
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
        Parents::of(self, level, &mut Vec::new()).add::<Model>();
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
    pub(super) fn add(&mut self, table: TableReference, level: Level) {
        match self.locked.iter_mut().find(|(known, _)| *known == table) {
            Some((_, known)) => *known = level.max(*known),
            None => self.locked.push((table, level)),
        }
    }

    fn refuse_name(&mut self, name: &str, reason: &str) {
        self.refused.get_or_insert(Refused { name: name.to_owned(), reason: reason.to_owned() });
    }

    pub(super) fn refuse(&mut self, reason: String) {
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
