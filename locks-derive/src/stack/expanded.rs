//! The function's new body.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{FnArg, Pat, PatIdent, PatWild, Signature, Token, Type};

use super::checked::{Checked, CheckedLock, Lock};
use super::mention;
use crate::root::Root;

impl Checked {
    pub(super) fn expanded(self) -> TokenStream {
        let Self { mut function, output, stacked } = self;
        // From the inside to the outside: the outermost lock is acquired first.
        for lock in stacked.iter().rev() {
            let block = function.take_block();
            if let Some(name) = lock.connection.name() {
                bind_in_expansion(name, &mut function.signature);
            }
            let block = match lock.connection.lent() {
                Some(name) => lend(name, &block, &mut function.signature),
                None => block.into_token_stream(),
            };
            function.body = lock.expanded(&output, &block);
        }
        function.into_token_stream()
    }
}

/// Runs the body with a reborrow: it may move its connection elsewhere, but the connection is
/// needed once more after it.
fn lend(name: &Ident, block: &Group, signature: &mut Signature) -> TokenStream {
    // The binding that the body sees is the one that it may change.
    let mutability = take_mutability(name, signature);
    let site = Span::mixed_site().located_at(name.span());
    let of_macro = is_underscored(name).then(|| quote_spanned!(site=> @ _));
    quote_spanned! {site=>
        {
            let #mutability #name #of_macro = &mut *#name;
            // Not every body uses its connection.
            let _ = &#name;
            // In parentheses, or a body of one line would be reported for its braces.
            (#block)
        }
    }
}

fn take_mutability(name: &Ident, signature: &mut Signature) -> Option<Token![mut]> {
    binding(name, signature).and_then(|binding| binding.mutability.take())
}

/// Writes `_conn @ _` for `_conn`: the binding then counts as the macro's, and clippy does not
/// report that a name with an underscore is used.
fn bind_in_expansion(name: &Ident, signature: &mut Signature) {
    let Some(binding) = binding(name, signature) else { return };
    if is_underscored(name) && binding.subpat.is_none() {
        let site = Span::mixed_site().located_at(name.span());
        let wild = PatWild { attrs: Vec::new(), underscore_token: Token![_](site) };
        binding.subpat = Some((Token![@](site), Box::new(Pat::Wild(wild))));
    }
}

fn is_underscored(name: &Ident) -> bool {
    name.to_string().starts_with('_')
}

fn binding<'s>(name: &Ident, signature: &'s mut Signature) -> Option<&'s mut PatIdent> {
    signature.inputs.iter_mut().find_map(|input| match input {
        FnArg::Typed(input) => match &mut *input.pat {
            Pat::Ident(binding) if binding.ident == *name => Some(binding),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    })
}

impl CheckedLock {
    fn expanded(&self, output: &Type, block: &TokenStream) -> TokenStream {
        let site = Span::mixed_site();
        let root = self.lock.root();
        let lock = self.lock.expanded();
        let acquire = Ident::new(self.lock.acquire(), site);
        let conn = self.connection.generic(root).unwrap_or_else(|| self.connection.expanded());
        let mention = self.path.as_ref().map(|path| {
            let args = mention();
            quote_spanned!(site=> #[#path(#args)] const _: () = ();)
        });
        let run = quote_spanned! {site=>
            let ran = #root::__private::run::<#output>(held, || #block);
            #root::__private::finish(ran, #conn)
        };
        let run = match self.lock.if_busy() {
            None => run,
            Some(if_busy) => quote_spanned! {site=>
                match ::core::result::Result::transpose(held) {
                    ::core::option::Option::None => #if_busy,
                    ::core::option::Option::Some(held) => { #run }
                }
            },
        };
        quote_spanned! {site=>
            #mention
            use #root::__private::Place as _;
            let held = #root::__private::#acquire(&#lock, #conn);
            #run
        }
    }
}

impl Lock {
    fn root(&self) -> &Root {
        match self {
            Self::Named(lock) => &lock.root,
            Self::Tables(lock) => &lock.root,
        }
    }

    fn expanded(&self) -> TokenStream {
        match self {
            Self::Named(lock) => lock.expanded(),
            Self::Tables(lock) => lock.expanded(),
        }
    }

    fn acquire(&self) -> &'static str {
        match self {
            Self::Named(lock) => lock.acquire(),
            Self::Tables(_) => "lock_tables",
        }
    }

    fn if_busy(&self) -> Option<&syn::Expr> {
        match self {
            Self::Named(lock) => lock.if_busy(),
            Self::Tables(_) => None,
        }
    }
}
