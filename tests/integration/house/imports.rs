//! The imports of `locks/src` run one way, and SQL has one place.
//!
//! Files are read as tokens, so that comments do not count and the bodies of macros do. Unit tests
//! may import anything, and do not count either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::root;
use super::tokens::{Named, exports, literals, paths, tokens};

/// Literals with SQL outside of `statement`: how a table lock is displayed.
const ALLOWED: [&str; 1] = ["\"LOCK TABLES {}\""];

/// The beginnings of SQL statements.
const STATEMENTS: [&str; 19] = [
    "BEGIN",
    "COMMIT",
    "DELETE",
    "DO",
    "FLUSH",
    "GET DIAGNOSTICS",
    "INSERT",
    "KILL",
    "LOCK TABLES",
    "RELEASE SAVEPOINT",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START TRANSACTION",
    "UNLOCK TABLES",
    "UPDATE",
    "USE",
];

const FUNCTIONS: [&str; 6] = [
    "CONNECTION_ID(",
    "GET_LOCK(",
    "IS_FREE_LOCK(",
    "IS_USED_LOCK(",
    "RELEASE_ALL_LOCKS(",
    "RELEASE_LOCK(",
];

/// Where a module names another one.
type Sites = BTreeSet<String>;

/// For each top-level module, the others that it names.
type Graph = BTreeMap<String, BTreeMap<String, Sites>>;

#[derive(Default)]
struct Scan {
    graph: Graph,
    sql: Vec<String>,
    /// Names that `lib.rs` exports, with their modules.
    exported: BTreeMap<String, String>,
}

/// A file, or a module inside of one.
struct Place<'p> {
    file: &'p str,
    module: Vec<String>,
}

impl Scan {
    /// Reads all files of the library.
    fn library() -> Self {
        let mut scan = Self::default();
        let source = root().join("locks/src");
        let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
        for path in exports(&tokens(&lib, "lib.rs")) {
            let segments = path
                .segments
                .iter()
                .skip_while(|first| ["crate", "self"].contains(&first.as_str()));
            if let [module, .., name] = &segments.collect::<Vec<_>>()[..] {
                scan.exported.insert((*name).clone(), (*module).clone());
            }
        }
        scan.folder(&source, &source);
        scan
    }

    fn folder(&mut self, source: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.strip_prefix(source).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                self.folder(source, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !file.ends_with("tests.rs")
                && file != "lib.rs"
            {
                let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
                let module = module.split('/').map(str::to_owned).collect();
                let text = fs::read_to_string(&path).unwrap();
                self.scan(&Place { file: &file, module }, &text);
            }
        }
    }

    fn scan(&mut self, place: &Place<'_>, text: &str) {
        let tokens = tokens(text, place.file);
        for path in paths(&tokens) {
            self.path(place, &path);
        }
        if place.module[0] != "statement" {
            let found = literals(&tokens).into_iter().filter(|literal| is_sql(literal));
            self.sql.extend(found.map(|literal| format!("{}: {literal}", place.file)));
        }
    }

    /// Notes which top-level module a path leads to.
    fn path(&mut self, place: &Place<'_>, path: &Named) {
        let mut base: Vec<&str> = place.module.iter().map(String::as_str).collect();
        base.extend(path.inside.iter().map(String::as_str));
        let mut segments = path.segments.iter().map(String::as_str).peekable();
        if segments.peek() == Some(&"crate") {
            segments.next();
            base.clear();
        } else {
            while segments.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        base.extend(segments);
        let Some(&target) = base.first() else { return };
        let target = self.exported.get(target).map_or(target, String::as_str).to_owned();
        if target != place.module[0] {
            let named = self.graph.entry(place.module[0].clone()).or_default();
            named.entry(target).or_default().insert(format!("{}:{}", place.file, path.line));
        }
    }
}

/// Returns whether a literal is a statement of SQL or a part of one. Prose may name a function or a
/// statement.
fn is_sql(literal: &str) -> bool {
    let text = literal.trim_start_matches(['b', 'c', 'r', '#']);
    let Some(text) = text.strip_prefix('"') else { return false };
    let begins = |part: &str| {
        let part = part.trim_start();
        STATEMENTS.iter().filter_map(|statement| part.strip_prefix(statement)).any(|rest| {
            !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '-')
        })
    };
    !ALLOWED.contains(&literal)
        && (text.split(';').any(begins) || FUNCTIONS.iter().any(|function| text.contains(function)))
}

/// Returns the shortest way from one module to another, with a place for each step.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut ways = vec![(from.to_owned(), Vec::new())];
    while !ways.is_empty() {
        let mut next = Vec::new();
        for (module, way) in ways {
            for (target, sites) in graph.get(&module).into_iter().flatten() {
                let mut way: Vec<String> = way.clone();
                way.push(format!("{module} -> {target} ({})", sites.first().unwrap()));
                if target == to {
                    return Some(way);
                }
                if seen.insert(target.clone()) {
                    next.push((target.clone(), way));
                }
            }
        }
        ways = next;
    }
    None
}

/// Returns the cycles of a graph: for each module that is in one, its shortest, and each of these
/// once.
fn cycles(graph: &Graph) -> BTreeSet<String> {
    let mut found = BTreeMap::new();
    for module in graph.keys() {
        if let Some(mut cycle) = way(graph, module, module) {
            let steps: BTreeSet<String> = cycle.iter().cloned().collect();
            cycle.insert(0, String::new());
            found.entry(steps).or_insert_with(|| cycle.join("\n  "));
        }
    }
    found.into_values().collect()
}

#[test]
fn the_modules_of_the_library_import_each_other_without_cycles() {
    let cycles = cycles(&Scan::library().graph);
    let list: Vec<_> = cycles.into_iter().collect();
    assert!(
        list.is_empty(),
        "{} cycles among the modules of locks/src:\n{}",
        list.len(),
        list.join("\n")
    );
}

#[test]
fn named_locks_and_table_locks_never_import_each_other() {
    let graph = Scan::library().graph;
    for (from, to) in [("lock", "table_lock"), ("table_lock", "lock")] {
        let sites = graph.get(from).and_then(|named| named.get(to));
        assert_eq!(sites, None, "`{from}` imports `{to}`");
    }
}

#[test]
fn sql_is_in_the_module_statement_only() {
    let sql = Scan::library().sql;
    assert!(sql.is_empty(), "SQL outside of `statement`: {sql:#?}");
}

#[test]
fn the_scan_finds_paths_cycles_and_sql() {
    let mut scan = Scan::default();
    scan.exported.insert("Error".to_owned(), "error".to_owned());
    let one = "use crate::{two::{self, a}, Error}; //! crate::never\n\
               #[cfg(test)] mod tests { use crate::four::*; }\n\
               fn body() { say!(super::super::three::x()); let sql = \"SET x = 1\"; }";
    let place = |module: &[&str], file| Place {
        file,
        module: module.iter().map(|&name| name.into()).collect(),
    };
    scan.scan(&place(&["one", "part"], "one/part.rs"), one);
    scan.scan(&place(&["three"], "three.rs"), "mod inner { pub(super) use super::super::one::Y; }");
    scan.scan(
        &place(&["two"], "two.rs"),
        "/// Calls \"SELECT 1\".\nconst TEXT: &str = \"its GET_LOCK is slow\";",
    );
    let targets: Vec<_> = scan.graph["one"].keys().map(String::as_str).collect();
    assert_eq!(targets, ["error", "three", "two"]);
    assert_eq!(scan.sql, ["one/part.rs: \"SET x = 1\""]);
    let cycles = cycles(&scan.graph);
    assert_eq!(cycles.len(), 1, "{cycles:?}");
    assert!(cycles.first().unwrap().contains("three -> one (three.rs:1)"), "{cycles:?}");
}
