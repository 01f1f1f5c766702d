//! The value of `conn = …`: something without side effects that means the same connection before
//! and after the body.

use proc_macro2::Ident;
use syn::{Expr, ExprPath, FnArg, Pat, Path, Result, Signature, UnOp};

use crate::diagnostic::{fault, looks_like};

/// A name, or a path of fields and indices.
pub(super) struct Place(Expr);

impl Place {
    /// Returns the name, if there is nothing else.
    pub(super) fn name(&self) -> Option<&Ident> {
        as_name(&self.0)
    }
}

impl From<Place> for Expr {
    fn from(place: Place) -> Self {
        place.0
    }
}

pub(super) fn as_name(place: &Expr) -> Option<&Ident> {
    match place {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

pub(super) fn name(name: &Ident) -> Expr {
    Expr::Path(ExprPath { attrs: Vec::new(), qself: None, path: Path::from(name.clone()) })
}

pub(super) fn checked(given: &Expr, signature: &Signature) -> Result<Place> {
    // Borrowing is left to the expansion.
    let place = match unwrapped(given) {
        Expr::Reference(borrow) if borrow.mutability.is_some() => unwrapped(&borrow.expr),
        place => place,
    };
    if is_place(place) {
        return Ok(Place(place.clone()));
    }
    let message = "the body could not use that connection: take it as an argument";
    Err(fault(given, message, looks_like(with_argument(signature))))
}

/// Returns the expression without parentheses, and without the invisible ones around `$conn:expr`.
fn unwrapped(expression: &Expr) -> &Expr {
    match expression {
        Expr::Paren(inner) => unwrapped(&inner.expr),
        Expr::Group(inner) => unwrapped(&inner.expr),
        expression => expression,
    }
}

fn is_place(expression: &Expr) -> bool {
    match unwrapped(expression) {
        Expr::Path(path) => path.path.get_ident().is_some(),
        Expr::Field(field) => is_place(&field.base),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)) && is_place(&unary.expr),
        Expr::Index(index) => is_index(&index.index) && is_place(&index.expr),
        _ => false,
    }
}

/// Returns a literal, a constant, or a place.
fn is_index(expression: &Expr) -> bool {
    match unwrapped(expression) {
        Expr::Lit(_) | Expr::Path(_) => true,
        Expr::Cast(cast) => is_index(&cast.expr),
        place => is_place(place),
    }
}

/// Returns the function's signature with the connection as an argument.
fn with_argument(signature: &Signature) -> String {
    let conn = "conn: &mut MysqlConnection";
    let receiver = match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_none() => "self, ",
        Some(FnArg::Receiver(receiver)) if receiver.mutability.is_some() => "&mut self, ",
        Some(FnArg::Receiver(_)) => "&self, ",
        _ => "",
    };
    let is_taken = signature.inputs.iter().any(|input| {
        matches!(input, FnArg::Typed(input)
            if matches!(&*input.pat, Pat::Ident(binding) if binding.ident == "conn"))
    });
    let conn = if is_taken { conn.replace("conn:", "db:") } else { conn.to_owned() };
    format!("fn {}({receiver}{conn}, …)", signature.ident)
}
