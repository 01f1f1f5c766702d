//! Which connection takes the lock, and how it is borrowed for that.

mod argument;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Signature, UnOp};

use self::argument::{Argument, Kind};
use crate::diagnostic::Faults;

#[derive(Clone)]
pub(crate) enum Connection {
    /// A binding that the body uses under its own name.
    Argument(Argument),
    /// Something that can be named again after the body, such as `self.conn`.
    Place(Expr),
    /// What a call answered, kept until the end.
    Temporary(Expr),
}

impl Connection {
    /// The argument `conn`, else the only one that looks like a connection.
    pub(crate) fn default_of(
        signature: &Signature,
        attribute: &str,
        faults: &mut Faults,
    ) -> Option<Self> {
        Argument::default_of(signature, attribute, faults).map(Self::Argument)
    }

    pub(crate) fn given(given: &Expr, signature: &Signature) -> Self {
        let place = match given {
            Expr::Reference(reference) if reference.mutability.is_some() => &*reference.expr,
            other => {
                if let Some(argument) = Argument::given(other, signature) {
                    return Self::Argument(argument);
                }
                other
            }
        };
        if is_place(place) { Self::Place(place.clone()) } else { Self::Temporary(given.clone()) }
    }

    /// What stands before everything else.
    pub(crate) fn setup(&self, root: &TokenStream) -> TokenStream {
        match self {
            Self::Argument(_) | Self::Place(_) => TokenStream::new(),
            Self::Temporary(given) => {
                let site = Span::mixed_site();
                let kept = quote_spanned!(site.located_at(given.span())=> connection);
                let borrow = spanned_borrow(given.span(), &kept);
                quote_spanned! {site=>
                    let mut #kept = #given;
                    let connection = #root::__private::connection(#borrow);
                }
            }
        }
    }

    /// What the lock is taken with, and ended. The same tokens both times, so that the compiler
    /// complains once where it is no connection.
    pub(crate) fn tokens(&self, root: &TokenStream) -> TokenStream {
        let borrow = self.borrow();
        if matches!(self, Self::Temporary(_)) {
            return borrow;
        }
        quote_spanned!(Span::mixed_site()=> #root::__private::connection(#borrow))
    }

    pub(crate) fn borrow(&self) -> TokenStream {
        match self {
            Self::Argument(Argument { name, kind: Kind::Owned }) => {
                spanned_borrow(name.span(), name)
            }
            Self::Argument(Argument { name, .. }) => spanned_borrow(name.span(), quote!(*#name)),
            Self::Place(place) => spanned_borrow(place.span(), place),
            Self::Temporary(_) => quote_spanned!(Span::mixed_site()=> &mut *connection),
        }
    }

    pub(crate) fn argument(&self) -> Option<&Ident> {
        match self {
            Self::Argument(argument) => Some(&argument.name),
            Self::Place(_) | Self::Temporary(_) => None,
        }
    }

    /// The argument of which the body gets a borrow.
    pub(crate) fn lent(&self) -> Option<&Ident> {
        match self {
            Self::Argument(Argument { name, kind: Kind::Borrowed }) if name != "self" => Some(name),
            _ => None,
        }
    }
}

/// With the span of what the user wrote, for the compiler to mark where it is no connection.
fn spanned_borrow(span: Span, place: impl ToTokens) -> TokenStream {
    let span = Span::mixed_site().located_at(span);
    quote_spanned!(span=> &mut #place)
}

/// What can be written twice and means the same connection both times. A call may answer with
/// another one the second time.
fn is_place(expression: &Expr) -> bool {
    match expression {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base),
        Expr::Paren(inner) => is_place(&inner.expr),
        Expr::Group(inner) => is_place(&inner.expr),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)) && is_place(&unary.expr),
        Expr::Index(index) => {
            let is_fixed = matches!(*index.index, Expr::Lit(_)) || is_place(&index.index);
            is_fixed && is_place(&index.expr)
        }
        _ => false,
    }
}
