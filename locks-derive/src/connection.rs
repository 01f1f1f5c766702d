//! The connection that acquires a lock.

mod argument;
mod place;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Result, Signature};

use self::argument::Argument;
pub(crate) use self::argument::bindings;
use crate::root::Root;

/// A connection that the expansion can name before and after the body.
#[derive(Clone)]
pub(crate) struct Connection {
    place: Expr,
    /// The argument that the body gets a reborrow of, since it may move it.
    lent: Option<Ident>,
    /// The argument, if its type is a parameter of the function.
    generic: Option<Ident>,
}

impl Connection {
    /// The argument `conn`, or the only one that looks like a connection.
    pub(crate) fn default_of(signature: &Signature, attribute: &str) -> Result<Self> {
        Argument::default_of(signature, attribute).map(Self::argument)
    }

    /// The value of `conn = …`.
    pub(crate) fn given(given: &Expr, signature: &Signature) -> Result<Self> {
        let place = place::checked(given, signature)?;
        if let Some(name) = place.name() {
            if let Some(argument) = Argument::named(name, signature)? {
                return Ok(Self::argument(argument));
            }
        }
        Ok(Self { place: place.into(), lent: None, generic: None })
    }

    fn argument(argument: Argument) -> Self {
        let Argument { name, is_borrowed, is_generic } = argument;
        let place = place::name(&name);
        let generic = is_generic.then(|| name.clone());
        Self { place, lent: is_borrowed.then_some(name), generic }
    }

    /// The argument, if the place is a name.
    pub(crate) fn name(&self) -> Option<&Ident> {
        place::as_name(&self.place)
    }

    pub(crate) fn lent(&self) -> Option<&Ident> {
        self.lent.as_ref()
    }

    /// Whether it is the same place, as far as the tokens show.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let text = |connection: &Self| connection.place.to_token_stream().to_string();
        text(self) == text(other)
    }

    /// A connection whose type is a parameter, borrowed: by a call that requires `LockConnection`, which
    /// the compiler then suggests as a bound. After method syntax it would suggest a private trait.
    pub(crate) fn generic(&self, root: &Root) -> Option<TokenStream> {
        let name = self.generic.as_ref()?;
        let site = Span::mixed_site().located_at(name.span());
        Some(quote_spanned!(site=> #root::__private::connection(&mut *#name)))
    }

    /// The connection, borrowed. The same tokens before and after the body, so that the compiler
    /// complains once if it is not a connection.
    ///
    /// Method syntax borrows whatever the place is: a value, a reference, a pointer.
    pub(crate) fn expanded(&self) -> TokenStream {
        let Self { place, .. } = self;
        let site = Span::mixed_site().located_at(place.span());
        let method = quote_spanned!(site=> __diesel_locks_connection());
        match place {
            Expr::Unary(_) => quote_spanned!(site=> (#place).#method),
            place => quote_spanned!(site=> #place.#method),
        }
    }
}
