//! Locks around a function that can be expanded.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Path, Signature, Type};

use super::Kind;
use super::args::{Args, LockArgs, Stacked};
use crate::connection::Connection;
use crate::diagnostic::{Faults, Refused, fault};
use crate::function::Function;
use crate::options::Options;
use crate::with_lock::NamedLock;
use crate::with_table_lock::TableLock;

pub(super) struct Checked {
    pub(super) function: Function,
    /// The function's return type, as an expression may name it.
    pub(super) output: Type,
    /// From the outermost to the innermost.
    pub(super) stacked: Vec<CheckedLock>,
}

pub(super) struct CheckedLock {
    pub(super) lock: Lock,
    pub(super) connection: Connection,
    /// The path of an attribute that the compiler never sees.
    pub(super) path: Option<Path>,
}

pub(super) enum Lock {
    Named(Box<NamedLock>),
    Tables(Box<TableLock>),
}

impl Args {
    pub(super) fn checked(
        self,
        kind: Kind,
        mut faults: Faults,
    ) -> Result<Checked, Refused<TokenStream>> {
        let Self { function, stacked } = self;
        let output = function.checked(kind.name(), &mut faults);
        let connections = connections(&stacked, &function.signature, kind.name(), &mut faults);
        refuse_second_transaction(&stacked, &connections, &mut faults);
        if function.signature.asyncness.is_some() {
            for connection in connections.iter().flatten() {
                faults.keep(connection.check_awaited());
            }
        }
        let checked =
            stacked.into_iter().zip(connections).map(|(Stacked { lock, path }, found)| {
                let lock = lock?.checked(&mut faults);
                Some(CheckedLock { lock: lock?, connection: found?, path })
            });
        // To the end, so that the faults of all are found.
        let checked: Vec<_> = checked.collect();
        let checked: Option<Vec<_>> = checked.into_iter().collect();
        match (faults.found(), output, checked) {
            (None, Some(output), Some(stacked)) => Ok(Checked { function, output, stacked }),
            (faults, ..) => Err(Refused { faults, kept: function.into_unlocked() }),
        }
    }
}

impl LockArgs {
    fn checked(self, faults: &mut Faults) -> Option<Lock> {
        match self {
            Self::Named(args) => args.checked(faults).map(|lock| Lock::Named(Box::new(lock))),
            Self::Tables(args) => Some(Lock::Tables(Box::new(args.checked(faults)))),
        }
    }
}

/// Returns the connection of each lock. The function's arguments are searched once, so that a
/// missing connection is reported once.
fn connections(
    stacked: &[Stacked],
    signature: &Signature,
    attribute: &str,
    faults: &mut Faults,
) -> Vec<Option<Connection>> {
    let options: Vec<_> =
        stacked.iter().map(|stacked| stacked.lock.as_ref().map(LockArgs::options)).collect();
    let needs_default = options.iter().any(|options| options.is_none_or(Options::has_no_conn));
    let default = needs_default.then(|| Connection::default_of(signature, attribute));
    let default = default.and_then(|found| faults.keep(found));
    let of_lock = |options: Option<&Options>| match options?.conn.as_ref() {
        Some(given) => faults.keep(Connection::given(&given.value, signature)),
        None => default.clone(),
    };
    options.into_iter().map(of_lock).collect()
}

/// On one connection, the second lock to begin a transaction would be refused in that of the first.
fn refuse_second_transaction(
    stacked: &[Stacked],
    connections: &[Option<Connection>],
    faults: &mut Faults,
) {
    let mut open: Vec<(Kind, &Ident, &Connection)> = Vec::new();
    for (stacked, connection) in stacked.iter().zip(connections) {
        let transaction = stacked.lock.as_ref().and_then(LockArgs::transaction);
        let (Some((kind, at)), Some(connection)) = (transaction, connection) else { continue };
        let first = open.iter().find(|(_, _, other)| connection.is(other));
        if let Some(&(first_kind, first_at, _)) = first {
            faults.add(match (first_kind, kind) {
                (Kind::TableLock, Kind::TableLock) => fault(
                    at,
                    "the other `#[with_table_lock]` has already begun a transaction",
                    "name all tables in one attribute: `#[with_table_lock(read(…), write(…))]`",
                ),
                (Kind::Lock, Kind::Lock) => fault(
                    first_at,
                    "only one of the stacked locks can begin the transaction",
                    "keep `transaction` on the innermost lock",
                ),
                (Kind::Lock, Kind::TableLock) => with_tables(first_at),
                (Kind::TableLock, Kind::Lock) => with_tables(at),
            });
        }
        open.push((kind, at, connection));
    }
}

fn with_tables(transaction: impl ToTokens) -> syn::Error {
    let message = "`transaction` cannot be combined with `#[with_table_lock]` on one connection";
    fault(transaction, message, "remove `transaction`: a table lock is always a transaction")
}
