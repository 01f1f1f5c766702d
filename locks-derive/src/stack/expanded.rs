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
            let signature = &mut function.signature;
            function.body = if signature.asyncness.is_some() {
                lock.expanded_awaited(&output, &block, signature)
            } else {
                let block = match lock.connection.lent() {
                    Some(name) => lend(name, &block, signature),
                    None => block.into_token_stream(),
                };
                lock.expanded(&output, &block)
            };
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
    fn mention(&self) -> Option<TokenStream> {
        self.path.as_ref().map(|path| {
            let args = mention();
            quote_spanned!(Span::mixed_site()=> #[#path(#args)] const _: () = ();)
        })
    }

    /// The function's future is all that there is to be dropped, so the connection is borrowed for
    /// as long as the body runs, and the body gets a reborrow under its name.
    fn expanded_awaited(
        &self,
        output: &Type,
        block: &Group,
        signature: &mut Signature,
    ) -> TokenStream {
        let site = Span::mixed_site();
        let root = self.lock.root();
        let lock = self.lock.expanded();
        let acquire = Ident::new(self.lock.acquire(), site);
        let conn = self.connection.expanded_awaited();
        let mention = self.mention();
        let bind = self.connection.name().map(|name| {
            let site = site.located_at(name.span());
            let of_macro = is_underscored(name).then(|| quote_spanned!(site=> @ _));
            if self.connection.lent().is_some() {
                let mutability = take_mutability(name, signature);
                // Not every body uses its connection.
                quote_spanned! {site=>
                    let #mutability #name #of_macro = held.conn();
                    let _ = &#name;
                }
            } else {
                // The body may borrow it mutably, as if it still were the value.
                quote_spanned! {site=>
                    let mut #name #of_macro = held.owned();
                    let _ = &mut #name;
                }
            }
        });
        let (busy, found) = match self.lock.if_busy() {
            None => (None, quote_spanned!(site=> mut held)),
            Some(if_busy) => (
                Some(quote_spanned!(site=>
                    ::core::result::Result::Ok((::core::option::Option::None, _)) => #if_busy,
                )),
                quote_spanned!(site=> ::core::option::Option::Some(mut held)),
            ),
        };
        quote_spanned! {site=>
            #mention
            use #root::__private::aio::{AwaitedPlace as _, Lend as _};
            let held = #root::__private::aio::#acquire(&#lock, #conn).await;
            match #root::__private::aio::held::<#output, _>(held) {
                #busy
                ::core::result::Result::Ok((#found, end)) => {
                    let result = #root::__private::aio::body::<#output>(async {
                        #bind
                        (#block)
                    })
                    .await;
                    end.after(held, result).await
                }
                ::core::result::Result::Err(result) => result,
            }
        }
    }

    fn expanded(&self, output: &Type, block: &TokenStream) -> TokenStream {
        let site = Span::mixed_site();
        let root = self.lock.root();
        let lock = self.lock.expanded();
        let acquire = Ident::new(self.lock.acquire(), site);
        let conn = self.connection.generic(root).unwrap_or_else(|| self.connection.expanded());
        let mention = self.mention();
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
