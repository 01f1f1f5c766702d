//! The locks around a function, one for each attribute. The outermost attribute finds the others
//! below it and expands them too: expanded one by one, the innermost lock would be acquired first.

mod args;
mod checked;
mod expanded;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

use self::args::Args;
use crate::diagnostic::Faults;
use crate::{with_lock, with_table_lock};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    TableLock,
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
}

pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    if is_mention(&args) {
        return TokenStream::new();
    }
    let mut faults = Faults::default();
    let args = Args::read(kind, args, item, &mut faults);
    match args.and_then(|args| args.checked(kind, faults)) {
        Ok(checked) => checked.expanded(),
        Err(refused) => refused.expanded(),
    }
}

/// Returns the arguments of an attribute that expands to nothing.
///
/// The outermost attribute takes those below it off the function. Without a mention of them the
/// compiler would report their imports as unused, and an `allow` is refused where the lint is
/// forbidden.
fn mention() -> TokenStream {
    quote!(@mention)
}

fn is_mention(args: &TokenStream) -> bool {
    args.to_string().replace(' ', "") == mention().to_string().replace(' ', "")
}
