//! The connection that acquires a lock.

mod argument;
mod place;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Result, Signature};

use self::argument::Argument;
pub(crate) use self::argument::bindings;
use crate::diagnostic::fault;
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
    /// Returns the argument `conn`, or the only one that looks like a connection.
    pub(crate) fn default_of(signature: &Signature, attribute: &str) -> Result<Self> {
        Argument::default_of(signature, attribute).map(Self::argument)
    }

    /// Returns the value of `conn = …`.
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

    /// Returns the argument, if the place is a name.
    pub(crate) fn name(&self) -> Option<&Ident> {
        place::as_name(&self.place)
    }

    pub(crate) fn lent(&self) -> Option<&Ident> {
        self.lent.as_ref()
    }

    /// Refuses a place that the body of an `async fn` could not get under its name.
    pub(crate) fn check_awaited(&self) -> Result<()> {
        match self.name() {
            Some(name) if name != "self" => Ok(()),
            _ => Err(fault(
                &self.place,
                "an `async fn` needs its connection as an argument, which is closed if its future is \
                 dropped",
                "take it as `conn: &mut AsyncMysqlConnection`, or use `aio::Lock::with`",
            )),
        }
    }

    /// Returns whether it is the same place, as far as the tokens show.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let text = |connection: &Self| connection.place.to_token_stream().to_string();
        text(self) == text(other)
    }

    /// Returns a connection whose type is a parameter, borrowed: by a call that requires
    /// `LockConnection`, which the compiler then suggests as a bound. After method syntax it would
    /// suggest a private trait.
    pub(crate) fn generic(&self, root: &Root) -> Option<TokenStream> {
        let name = self.generic.as_ref()?;
        let site = Span::mixed_site().located_at(name.span());
        Some(quote_spanned!(site=> #root::__private::connection(&mut *#name)))
    }

    /// Returns the connection, borrowed. The same tokens before and after the body, so that the
    /// compiler complains once if it is not a connection.
    ///
    /// Method syntax borrows whatever the place is: a value, a reference, a pointer.
    pub(crate) fn expanded(&self) -> TokenStream {
        self.borrowed_by("__diesel_locks_connection")
    }

    /// The same for an `async fn`: the argument itself, borrowed, and how to find the connection in
    /// it.
    pub(crate) fn expanded_awaited(&self) -> TokenStream {
        let lent = self.borrowed_by("__diesel_locks_lend");
        let site = Span::mixed_site().located_at(self.place.span());
        quote_spanned!(site=> #lent, |conn| conn.__diesel_locks_async_connection())
    }

    fn borrowed_by(&self, method: &str) -> TokenStream {
        let Self { place, .. } = self;
        let site = Span::mixed_site().located_at(place.span());
        let method = Ident::new(method, site);
        let method = quote_spanned!(site=> #method());
        match place {
            Expr::Unary(_) => quote_spanned!(site=> (#place).#method),
            place => quote_spanned!(site=> #place.#method),
        }
    }
}
