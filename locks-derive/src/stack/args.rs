//! All lock attributes of a function, as the user wrote them.

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Meta, Path, Result};

use super::Kind;
use crate::diagnostic::{Faults, Refused, fault, fault_at, looks_like};
use crate::function::Function;
use crate::options::Options;
use crate::{with_lock, with_table_lock};

pub(super) struct Args {
    pub(super) function: Function,
    /// From the outermost to the innermost.
    pub(super) stacked: Vec<Stacked>,
}

pub(super) struct Stacked {
    /// `None` if it could not be read at all.
    pub(super) lock: Option<LockArgs>,
    /// The path of an attribute that the compiler never sees.
    pub(super) path: Option<Path>,
}

pub(super) enum LockArgs {
    Named(Box<with_lock::Args>),
    Tables(Box<with_table_lock::Args>),
}

impl Args {
    pub(super) fn read(
        kind: Kind,
        args: TokenStream,
        item: TokenStream,
        faults: &mut Faults,
    ) -> std::result::Result<Self, Refused<TokenStream>> {
        let lock = outermost(kind, args, faults);
        let mut stacked = vec![Stacked { lock: faults.keep(lock), path: None }];
        let function = Function::read(item.clone(), kind.name());
        let Some(mut function) = faults.keep(function) else {
            return Err(Refused { faults: std::mem::take(faults).found(), kept: item });
        };
        for (kind, attribute) in take_attributes(&mut function) {
            let lock = inner(kind, &attribute, faults);
            let path = Some(attribute.path().clone());
            stacked.push(Stacked { lock: faults.keep(lock), path });
        }
        Ok(Self { function, stacked })
    }
}

impl LockArgs {
    fn read(kind: Kind, input: ParseStream<'_>, faults: &mut Faults) -> Result<Self> {
        Ok(match kind {
            Kind::Lock => Self::Named(Box::new(with_lock::Args::read(input, faults)?)),
            Kind::TableLock => Self::Tables(Box::new(with_table_lock::Args::read(input, faults)?)),
        })
    }

    pub(super) fn options(&self) -> &Options {
        match self {
            Self::Named(args) => &args.options,
            Self::Tables(args) => &args.options,
        }
    }

    /// Returns the tokens that begin a transaction, if any: the option, or the key of the tables.
    pub(super) fn transaction(&self) -> Option<(Kind, &Ident)> {
        match self {
            Self::Named(args) => args.transaction.as_ref().map(|flag| (Kind::Lock, flag)),
            Self::Tables(args) => args.key().map(|key| (Kind::TableLock, key)),
        }
    }
}

fn outermost(kind: Kind, args: TokenStream, faults: &mut Faults) -> Result<LockArgs> {
    if args.is_empty() {
        let (message, help) = nothing_given(kind);
        return Err(fault_at(Span::call_site(), message, help));
    }
    (|input: ParseStream<'_>| LockArgs::read(kind, input, faults)).parse2(args)
}

fn inner(kind: Kind, attribute: &Attribute, faults: &mut Faults) -> Result<LockArgs> {
    match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => {
            attribute.parse_args_with(|input: ParseStream<'_>| LockArgs::read(kind, input, faults))
        }
        meta => {
            let (message, help) = nothing_given(kind);
            Err(fault(meta, message, help))
        }
    }
}

/// Returns the message for an attribute without arguments.
fn nothing_given(kind: Kind) -> (&'static str, String) {
    match kind {
        Kind::Lock => ("the lock has no name", looks_like(with_lock::FORM)),
        Kind::TableLock => ("the lock has no tables", looks_like(with_table_lock::FORM)),
    }
}

/// Takes the attributes of both kinds that are still on the function.
fn take_attributes(function: &mut Function) -> Vec<(Kind, Attribute)> {
    let mut ours = Vec::new();
    for attribute in std::mem::take(&mut function.attributes) {
        match Kind::of(&attribute) {
            Some(kind) => ours.push((kind, attribute)),
            None => function.attributes.push(attribute),
        }
    }
    ours
}
