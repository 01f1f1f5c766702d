//! The set of tables that a table lock locks.

use super::table_name::name_fault;
use super::{LockableTable, Parents, TableName, table_name};

/// What other connections may still do with a locked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Read,
    Write,
}

/// A table, under its own name or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableReference {
    pub(crate) name: TableName,
    pub(crate) alias: Option<String>,
    pub(crate) level: Level,
}

impl TableReference {
    /// Returns the name by which the server distinguishes the tables of one lock, as far as the
    /// client knows.
    fn identity(&self) -> (Option<&str>, &str) {
        (self.name.database(), self.alias.as_deref().unwrap_or(self.name.table()))
    }
}

/// The tables of one lock, each once for each alias.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    locked: Vec<TableReference>,
    /// The first name that cannot be sent, and why: reported when the lock is acquired.
    invalid: Option<(String, String)>,
}

impl Tables {
    pub(crate) fn add_model<Model: LockableTable>(&mut self, level: Level) {
        Parents::of(self, level, &mut Vec::new()).add::<Model>();
    }

    pub(crate) fn add_model_as<Model: LockableTable>(&mut self, alias: &str, level: Level) {
        if let Some(name) = self.name_of::<Model>() {
            self.add_named(name, Some(alias), level);
        }
    }

    pub(crate) fn add_named(&mut self, name: TableName, alias: Option<&str>, level: Level) {
        let of_alias = || alias.and_then(|alias| name_fault(alias).map(|reason| (alias, reason)));
        if let Some((invalid, reason)) = name.fault().or_else(of_alias) {
            let (invalid, reason) = (invalid.to_owned(), reason.to_owned());
            self.invalid.get_or_insert((invalid, reason));
            return;
        }
        self.add(name, alias.map(str::to_owned), level);
    }

    /// Returns the name of a model's table, unless Diesel's SQL for it is no name.
    pub(super) fn name_of<Model: LockableTable>(&mut self) -> Option<TableName> {
        let reason = match table_name::<Model::Table>() {
            Ok(Some(name)) => return Some(name),
            Ok(None) => "it is not the name of a table".to_owned(),
            Err(error) => error.to_string(),
        };
        self.invalid.get_or_insert((std::any::type_name::<Model>().to_owned(), reason));
        None
    }

    /// The higher level wins.
    pub(super) fn add(&mut self, name: TableName, alias: Option<String>, level: Level) {
        let added = TableReference { name, alias, level };
        let known = self.locked.iter_mut().find(|known| known.identity() == added.identity());
        match known {
            None => self.locked.push(added),
            Some(known) if known.name == added.name && known.alias == added.alias => {
                known.level = level.max(known.level);
            }
            Some(known) => {
                let name = known.identity().1.to_owned();
                let reason = "two tables of the lock have this name or alias: give one of them \
                              another alias"
                    .to_owned();
                self.invalid.get_or_insert((name, reason));
            }
        }
    }

    /// Returns a name that cannot be used, and why.
    pub(crate) fn invalid(&self) -> Option<(&str, &str)> {
        self.invalid.as_ref().map(|(name, reason)| (name.as_str(), reason.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.locked.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TableReference> {
        self.locked.iter()
    }

    /// Returns the names of the tables, each once.
    pub(crate) fn names(&self) -> Vec<TableName> {
        let mut names = Vec::new();
        for table in &self.locked {
            if !names.contains(&table.name) {
                names.push(table.name.clone());
            }
        }
        names
    }
}
