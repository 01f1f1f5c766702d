//! Messages about what the user wrote: all of them at once, each at its token.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Error, Ident, Result};

/// The faults found so far.
#[derive(Default)]
pub(crate) struct Faults(Option<Error>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Error) {
        match &mut self.0 {
            Some(faults) => faults.combine(fault),
            None => self.0 = Some(fault),
        }
    }

    /// Keeps the fault, and returns the value if there is none.
    pub(crate) fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|fault| self.add(fault)).ok()
    }

    pub(crate) fn found(self) -> Option<Error> {
        self.0
    }
}

/// Returns a fault of the marked tokens, and the right form.
pub(crate) fn fault(at: impl ToTokens, message: impl Display, help: impl Display) -> Error {
    Error::new_spanned(at, format!("{message}\nhelp: {help}"))
}

/// Returns a fault at a place that has no token.
pub(crate) fn fault_at(at: Span, message: impl Display, help: impl Display) -> Error {
    Error::new(at, format!("{message}\nhelp: {help}"))
}

pub(crate) fn looks_like(form: impl Display) -> String {
    format!("the correct format looks like `{form}`")
}

pub(crate) fn unknown(key: &Ident, what: &str, valid: &[&str], form: impl Display) -> Error {
    let message = format!("unknown {what} `{key}`, expected one of `{}`", valid.join("`, `"));
    fault(key, message, looks_like(form))
}

pub(crate) fn duplicate(again: impl ToTokens, name: impl Display, help: impl Display) -> Error {
    fault(again, format!("`{name}` is given more than once"), help)
}

/// Input with faults, and the part of it that is kept, so that one mistake gives one message and
/// editors still know the item.
pub(crate) struct Refused<Kept> {
    pub(crate) faults: Option<Error>,
    pub(crate) kept: Kept,
}

impl<Kept: ToTokens> Refused<Kept> {
    pub(crate) fn expanded(&self) -> TokenStream {
        let mut tokens = self.faults.as_ref().map(Error::to_compile_error).unwrap_or_default();
        self.kept.to_tokens(&mut tokens);
        tokens
    }
}
