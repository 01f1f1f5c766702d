//! The description of a named lock, and the function that acquires it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned;

use super::checked::{Database, Fencing, Name, NamedLock, Wait};

impl NamedLock {
    /// Returns the lock, as an expression.
    pub(crate) fn expanded(&self) -> TokenStream {
        let root = &self.root;
        let site = Span::mixed_site();
        let name = match &self.name {
            Name::Plain(name) => name.to_token_stream(),
            Name::Formatted(name, arguments) => {
                quote_spanned!(site=> &::std::format!(#name #(, #arguments)*))
            }
        };
        let wait = match &self.wait {
            Wait::Timeout(timeout) => timeout.expanded(root),
            Wait::WithoutTimeout => quote_spanned!(site=> .without_timeout()),
            Wait::Default | Wait::None(_) => TokenStream::new(),
        };
        let at_least = self.hold_at_least.as_ref().map(|value| {
            // If it is neither a number nor a `Duration`, the compiler marks the user's tokens.
            let duration = quote_spanned!(value.span()=> timeout);
            quote_spanned!(site=> .hold_at_least(#root::__private::#duration(#value)))
        });
        let database = match &self.database {
            Database::OfConnection => TokenStream::new(),
            Database::Named(database) => {
                // If it is not a `&str`, the compiler marks the user's tokens.
                let site = site.located_at(database.span());
                quote_spanned!(site=> .in_database(#database))
            }
            Database::ServerWide => quote_spanned!(site=> .server_wide()),
        };
        let shortened = self.is_shortened.then(|| quote_spanned!(site=> .shortened()));
        let fencing = match &self.fencing {
            Fencing::Off => TokenStream::new(),
            Fencing::InOwnDatabase => quote_spanned!(site=> .fenced()),
            Fencing::InDatabase(database) => {
                let site = site.located_at(database.span());
                quote_spanned!(site=> .fenced_in(#database))
            }
        };
        let lock = quote_spanned!(site=> #root::__private::Lock::new(#name));
        quote_spanned!(site=> #lock #wait #at_least #database #shortened #fencing)
    }

    pub(crate) fn acquire(&self) -> &'static str {
        match (self.if_busy(), self.is_transaction) {
            (None, false) => "acquire",
            (None, true) => "acquire_and_begin",
            (Some(_), false) => "try_acquire",
            (Some(_), true) => "try_acquire_and_begin",
        }
    }

    /// Returns the value that the function returns without waiting for the lock.
    pub(crate) fn if_busy(&self) -> Option<&Expr> {
        match &self.wait {
            Wait::None(if_busy) => Some(if_busy),
            Wait::Default | Wait::Timeout(_) | Wait::WithoutTimeout => None,
        }
    }
}
