//! The options that both attributes have.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, Path, Result, UnOp};

use crate::attr::{Keyed, root, set, value};
use crate::diagnostic::{Faults, fault};

pub(crate) const NAMES: [&str; 3] = ["timeout", "conn", "crate"];

#[derive(Default)]
pub(crate) struct Options {
    timeout: Option<Keyed<Expr>>,
    pub(crate) conn: Option<Keyed<Expr>>,
    root: Option<Keyed<Path>>,
    /// It was given, but could not be read.
    conn_unknown: bool,
}

impl Options {
    /// Reads what comes after one of [`NAMES`].
    pub(crate) fn read(&mut self, key: Ident, input: ParseStream<'_>) -> Result<()> {
        const TWICE: &str = "remove one of them";
        if key == "timeout" {
            let value = value(input, &key, "a number of seconds or a `Duration`", "timeout = 2.5")?;
            set(&mut self.timeout, Keyed { key, value }, TWICE)
        } else if key == "conn" {
            self.conn_unknown = true;
            let value = value(input, &key, "the connection", "conn = self.conn")?;
            set(&mut self.conn, Keyed { key, value }, TWICE)?;
            self.conn_unknown = false;
            Ok(())
        } else {
            let value = value(input, &key, "a path", "crate = my_crate::diesel_locks")?;
            set(&mut self.root, Keyed { key, value }, TWICE)
        }
    }

    /// Whether the function's arguments are to be searched for it.
    pub(crate) fn has_no_conn(&self) -> bool {
        self.conn.is_none() && !self.conn_unknown
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        let Some(Keyed { value, .. }) = &self.timeout else { return };
        let Expr::Unary(negative) = value else { return };
        if matches!(negative.op, UnOp::Neg(_)) && is_number(&negative.expr) {
            let message = "a timeout cannot be less than nothing";
            faults.add(fault(value, message, "`timeout = 0` takes the lock only if it is free"));
        }
    }

    pub(crate) fn root(&self) -> TokenStream {
        root(self.root.as_ref())
    }

    /// `.timeout(…)`, for a lock of either kind.
    pub(crate) fn timeout(&self) -> TokenStream {
        let Some(Keyed { value, .. }) = &self.timeout else { return TokenStream::new() };
        let root = self.root();
        // Where it is neither a number nor a `Duration`, the compiler marks what the user gave.
        let timeout = quote_spanned!(value.span()=> timeout);
        quote!(.timeout(#root::__private::#timeout(#value)))
    }
}

fn is_number(value: &Expr) -> bool {
    matches!(value, Expr::Lit(literal) if matches!(literal.lit, Lit::Int(_) | Lit::Float(_)))
}

/// For the message about an unknown option.
pub(crate) fn form(attribute: &str, what: &str) -> String {
    format!("#[{attribute}({what}, timeout = 2.5, conn = self.conn)]")
}
