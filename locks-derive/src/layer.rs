//! The locks around a function, one for each attribute. The outermost attribute finds the others
//! below it and expands them too: expanded one by one, the last one's lock would be taken first.

mod expand;
#[cfg(test)]
mod tests;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Meta, Path, Result, Signature, parse_quote};

use self::expand::wrap_all;
use crate::connection::Connection;
use crate::diagnostic::{Faults, fault, fault_at, looks_like};
use crate::function::Function;
use crate::options::Options;
use crate::{fallback, with_lock, with_table_lock};

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Lock,
    TableLock,
}

/// How a lock is taken.
pub(crate) struct Call {
    /// An expression: the description of the lock.
    pub(crate) lock: TokenStream,
    /// The function that takes it.
    pub(crate) acquire: &'static str,
    pub(crate) options: Options,
}

struct Layer {
    /// Missing where it could not be read at all.
    call: Option<Call>,
    /// As the user wrote it, for an attribute that the compiler never sees.
    path: Option<Path>,
}

impl Kind {
    fn of(attribute: &Attribute) -> Option<Self> {
        let last = &attribute.path().segments.last()?.ident;
        [Self::Lock, Self::TableLock].into_iter().find(|kind| last == kind.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lock => with_lock::ATTRIBUTE,
            Self::TableLock => with_table_lock::ATTRIBUTE,
        }
    }

    fn call(self, input: ParseStream<'_>, faults: &mut Faults) -> Result<Call> {
        match self {
            Self::Lock => with_lock::call(input, faults),
            Self::TableLock => with_table_lock::call(input, faults),
        }
    }

    /// What an attribute without arguments is told.
    fn nothing_given(self) -> (&'static str, String) {
        match self {
            Self::Lock => ("the lock has no name", looks_like(with_lock::FORM)),
            Self::TableLock => ("the lock has no tables", looks_like(with_table_lock::FORM)),
        }
    }
}

pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut faults = Faults::default();
    let call = outermost(kind, args, &mut faults);
    let mut layers = vec![Layer { call: faults.keep(call), path: None }];
    let function = Function::read(item.clone(), kind.name());
    let Some(mut function) = faults.keep(function) else {
        return fallback::errors_with(faults.found().as_ref(), item);
    };
    function.refuse(kind.name(), &mut faults);
    for (kind, attribute) in stacked(&mut function) {
        let call = inner(kind, &attribute, &mut faults);
        layers.push(Layer { call: faults.keep(call), path: Some(attribute.path().clone()) });
    }
    let connections = connections(&layers, &function.signature, kind.name(), &mut faults);
    if let Some(errors) = faults.found() {
        // What only the lock would have used is not to be called unused as well.
        function.attributes.push(parse_quote!(#[allow(unused_variables)]));
        return fallback::errors_with(Some(&errors), function);
    }
    wrap_all(&mut function, &layers, &connections);
    function.into_token_stream()
}

fn outermost(kind: Kind, args: TokenStream, faults: &mut Faults) -> Result<Call> {
    if args.is_empty() {
        let (message, help) = kind.nothing_given();
        return Err(fault_at(Span::call_site(), message, help));
    }
    (|input: ParseStream<'_>| kind.call(input, faults)).parse2(args)
}

/// Takes the attributes of both kinds that are still on the function.
fn stacked(function: &mut Function) -> Vec<(Kind, Attribute)> {
    let mut ours = Vec::new();
    for attribute in std::mem::take(&mut function.attributes) {
        match Kind::of(&attribute) {
            Some(kind) => ours.push((kind, attribute)),
            None => function.attributes.push(attribute),
        }
    }
    ours
}

fn inner(kind: Kind, attribute: &Attribute, faults: &mut Faults) -> Result<Call> {
    match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => {
            attribute.parse_args_with(|input: ParseStream<'_>| kind.call(input, faults))
        }
        meta => {
            let (message, help) = kind.nothing_given();
            Err(fault(meta, message, help))
        }
    }
}

/// One for each layer, unless there are faults. Looked for once, so that what is missing is said
/// once.
fn connections(
    layers: &[Layer],
    signature: &Signature,
    attribute: &str,
    faults: &mut Faults,
) -> Vec<Connection> {
    let options: Vec<_> =
        layers.iter().map(|layer| layer.call.as_ref().map(|call| &call.options)).collect();
    let needs_default = options.iter().any(|options| options.is_none_or(Options::has_no_conn));
    let default =
        if needs_default { Connection::default_of(signature, attribute, faults) } else { None };
    let of_layer = |options: Option<&Options>| {
        let given = options.and_then(|options| options.conn.as_ref());
        given.map(|given| Connection::given(&given.value, signature)).or_else(|| default.clone())
    };
    options.into_iter().filter_map(of_layer).collect()
}
