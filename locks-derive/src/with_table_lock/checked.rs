//! A table lock that can be expanded.

use quote::ToTokens;
use syn::LitStr;

use super::args::{Args, FORM, Source, Table};
use crate::diagnostic::{Faults, duplicate, fault, looks_like};
use crate::options::Timeout;
use crate::root::Root;

pub(crate) struct TableLock {
    pub(crate) root: Root,
    pub(super) read: Vec<Table>,
    pub(super) write: Vec<Table>,
    pub(super) timeout: Option<Timeout>,
}

impl Args {
    pub(crate) fn checked(self, faults: &mut Faults) -> TableLock {
        let timeout = self.options.timeout.map(|given| Timeout::checked(given, faults));
        let mut aliases = Vec::new();
        let mut tables = |level: Option<crate::attr::Keyed<Vec<Table>>>| {
            let tables = level.map(|level| level.value).unwrap_or_default();
            check_names(&tables, faults);
            check_aliases(&tables, &mut aliases, faults);
            tables
        };
        TableLock {
            read: tables(self.read),
            write: tables(self.write),
            root: Root::new(self.options.root),
            timeout,
        }
    }
}

fn check_names(tables: &[Table], faults: &mut Faults) {
    let mut seen = Vec::new();
    for table in tables {
        if let Some(empty) = table.names().into_iter().find(|name| name.value().is_empty()) {
            faults.add(fault(empty, "the table's name is empty", looks_like(FORM)));
        }
        let tokens = table.to_token_stream().to_string();
        if seen.contains(&tokens) {
            faults.add(duplicate(table, tokens, "remove one of them"));
        } else {
            seen.push(tokens);
        }
    }
}

/// A server refuses two tables of one alias, at whatever level.
fn check_aliases(tables: &[Table], seen: &mut Vec<(String, String)>, faults: &mut Faults) {
    for table in tables {
        let Some(alias) = &table.alias else { continue };
        if alias.value().is_empty() {
            faults.add(fault(alias, "the alias is empty", looks_like("read(Place as \"p\")")));
            continue;
        }
        let source = table.source.to_token_stream().to_string();
        // The same table at both levels is locked at the higher one.
        if seen.iter().any(|(of, known)| *known == alias.value() && *of != source) {
            let message = format!("`{}` is the alias of another table", alias.value());
            faults.add(fault(alias, message, "give each table its own alias"));
        }
        seen.push((source, alias.value()));
    }
}

impl Table {
    fn names(&self) -> Vec<&LitStr> {
        match &self.source {
            Source::Model(_) => Vec::new(),
            Source::Named(table) => vec![table],
            Source::InDatabase(database, table) => vec![database, table],
        }
    }
}
