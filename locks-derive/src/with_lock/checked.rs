//! A named lock that can be expanded.

use syn::{Expr, Ident, LitStr};

use super::args::{ATTRIBUTE, Args, FORM, FormatArgument, VALID_OPTIONS};
use super::format::Format;
use crate::diagnostic::{Faults, fault, looks_like, unknown};
use crate::options::{Timeout, refuse_negative};
use crate::root::Root;

pub(crate) struct NamedLock {
    pub(crate) root: Root,
    pub(super) name: Name,
    pub(super) database: Database,
    pub(super) wait: Wait,
    pub(super) hold_at_least: Option<Box<Expr>>,
    pub(super) fencing: Fencing,
    pub(super) is_shortened: bool,
    pub(super) is_transaction: bool,
}

pub(super) enum Name {
    /// Always the same: nothing is allocated for it.
    Plain(LitStr),
    Formatted(LitStr, Vec<FormatArgument>),
}

pub(super) enum Database {
    OfConnection,
    Named(Expr),
    ServerWide,
}

pub(super) enum Fencing {
    Off,
    InOwnDatabase,
    InDatabase(Expr),
}

pub(super) enum Wait {
    Default,
    Timeout(Timeout),
    WithoutTimeout,
    /// None: the function returns this if the lock is busy.
    None(Expr),
}

impl Args {
    /// Returns `None` if the lock has no name, which is then among the faults.
    pub(crate) fn checked(self, faults: &mut Faults) -> Option<NamedLock> {
        let fencing = fencing(self.fenced, self.fenced_in, self.server_wide.as_ref(), faults);
        let database = database(self.in_database, self.server_wide, faults);
        let timeout = self.options.timeout.map(|given| (given.key.clone(), given));
        let wait = match (self.if_busy, timeout, self.without_timeout) {
            (Some(if_busy), timeout, without_timeout) => {
                let timeout = timeout.map(|(key, _)| key);
                for key in timeout.into_iter().chain(without_timeout) {
                    faults.add(excluded(&key, "if_busy", "which does not wait"));
                }
                Wait::None(if_busy.value)
            }
            (None, Some((_, timeout)), without_timeout) => {
                if let Some(key) = without_timeout {
                    faults.add(excluded(&key, "timeout", "which limits the wait"));
                }
                Wait::Timeout(Timeout::checked(timeout, faults))
            }
            (None, None, Some(_)) => Wait::WithoutTimeout,
            (None, None, None) => Wait::Default,
        };
        let hold_at_least = self.hold_at_least.map(|given| {
            let help = "`hold_at_least = 0` releases the lock immediately";
            refuse_negative(&given.value, "a time", help, faults);
            Box::new(given.value)
        });
        Some(NamedLock {
            root: Root::new(self.options.root),
            name: name(self.name?, self.arguments, faults),
            database,
            fencing,
            wait,
            hold_at_least,
            is_shortened: self.shortened.is_some(),
            is_transaction: self.transaction.is_some(),
        })
    }
}

fn database(
    named: Option<crate::attr::Keyed<Expr>>,
    server_wide: Option<Ident>,
    faults: &mut Faults,
) -> Database {
    match (named, server_wide) {
        (Some(named), server_wide) => {
            if let Some(key) = server_wide {
                faults.add(excluded(&key, "in_database", "which adds a prefix to the name"));
            }
            Database::Named(named.value)
        }
        (None, Some(_)) => Database::ServerWide,
        (None, None) => Database::OfConnection,
    }
}

fn fencing(
    fenced: Option<Ident>,
    database: Option<crate::attr::Keyed<Expr>>,
    server_wide: Option<&Ident>,
    faults: &mut Faults,
) -> Fencing {
    match (fenced, database) {
        // `fenced` says nothing more then.
        (_, Some(database)) => Fencing::InDatabase(database.value),
        (Some(fenced), None) => {
            if server_wide.is_some() {
                let message = "a lock that is `server_wide` has no database for its tokens";
                let form = "#[with_lock(\"backup\", server_wide, fenced_in = \"operations\")]";
                faults.add(fault(fenced, message, looks_like(form)));
            }
            Fencing::InOwnDatabase
        }
        (None, None) => Fencing::Off,
    }
}

fn excluded(key: &Ident, other: &str, because: &str) -> syn::Error {
    let message = format!("`{key}` cannot be combined with `{other}`, {because}");
    fault(key, message, "remove one of them")
}

fn name(literal: LitStr, arguments: Vec<FormatArgument>, faults: &mut Faults) -> Name {
    if literal.value().is_empty() {
        faults.add(fault(&literal, "the lock's name is empty", looks_like(FORM)));
    }
    let Some(format) = Format::read(&literal.value()) else {
        return Name::Formatted(literal, arguments);
    };
    check_captures(&literal, &arguments, &format, faults);
    check_arguments(&arguments, &format, faults);
    match format.plain() {
        Some(plain) if arguments.is_empty() => Name::Plain(LitStr::new(plain, literal.span())),
        _ => Name::Formatted(literal, arguments),
    }
}

fn check_captures(
    literal: &LitStr,
    arguments: &[FormatArgument],
    format: &Format,
    faults: &mut Faults,
) {
    let Some(captured) = format.captured_expression() else { return };
    let is_used =
        |argument: &&FormatArgument| argument.name.as_ref().is_none_or(|name| format.uses(name));
    let given: Vec<_> = arguments.iter().filter(is_used).map(FormatArgument::as_text).collect();
    let message = format!("`format!` can only capture identifiers, not `{captured}`");
    let form = format!("#[{ATTRIBUTE}({})]", format.with_arguments(&given));
    faults.add(fault(literal, message, looks_like(form)));
}

/// An argument that the name does not use was meant for an option.
fn check_arguments(arguments: &[FormatArgument], format: &Format, faults: &mut Faults) {
    // Otherwise the arguments for the captured expressions are missing, and the count is wrong.
    let is_counted = format.captured_expression().is_none();
    let mut positional = 0;
    for argument in arguments {
        if let Some(name) = &argument.name {
            if !format.uses(name) {
                faults.add(unknown_option(name));
            }
            continue;
        }
        positional += 1;
        let is_unused = is_counted && positional > format.positional();
        if let Some(word) = argument.word().filter(|_| is_unused) {
            faults.add(unknown_option(word));
        }
    }
}

fn unknown_option(word: &Ident) -> syn::Error {
    const OPTIONS: &str = "#[with_lock(\"nightly-report\", timeout = 2.5, conn = self.conn)]";
    if VALID_OPTIONS.iter().any(|option| word == option) {
        let message = format!("expected `=` after `{word}`");
        return fault(word, message, looks_like(OPTIONS));
    }
    unknown(word, "option", &VALID_OPTIONS, OPTIONS)
}
