//! The options that both attributes have.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, Path, Result, UnOp};

use crate::attr::{Keyed, set, value};
use crate::diagnostic::{Faults, fault};
use crate::root::Root;

pub(crate) const NAMES: [&str; 3] = ["timeout", "conn", "crate"];
pub(crate) const TWICE: &str = "remove one of them";

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) timeout: Option<Keyed<Expr>>,
    pub(crate) conn: Option<Keyed<Expr>>,
    pub(crate) root: Option<Keyed<Path>>,
    /// `conn` is given, but could not be read.
    conn_unknown: bool,
}

impl Options {
    /// Reads the value of one of [`NAMES`].
    pub(crate) fn read(&mut self, key: Ident, input: ParseStream<'_>) -> Result<()> {
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

    /// Returns whether to search the function's arguments for the connection.
    pub(crate) fn has_no_conn(&self) -> bool {
        self.conn.is_none() && !self.conn_unknown
    }
}

/// A timeout that is not a negative literal.
pub(crate) struct Timeout(Expr);

impl Timeout {
    pub(crate) fn checked(given: Keyed<Expr>, faults: &mut Faults) -> Self {
        let help = "`timeout = 0` acquires the lock only if it is free";
        refuse_negative(&given.value, "a timeout", help, faults);
        Self(given.value)
    }

    /// `.timeout(…)`, for a lock of either kind.
    pub(crate) fn expanded(&self, root: &Root) -> TokenStream {
        let value = &self.0;
        // If it is neither a number nor a `Duration`, the compiler marks the user's tokens.
        let timeout = quote_spanned!(value.span()=> timeout);
        quote!(.timeout(#root::__private::#timeout(#value)))
    }
}

/// Refuses a negative literal.
pub(crate) fn refuse_negative(value: &Expr, what: &str, help: &str, faults: &mut Faults) {
    if let Expr::Unary(negative) = value {
        if matches!(negative.op, UnOp::Neg(_)) && is_number(&negative.expr) {
            faults.add(fault(negative, format!("{what} cannot be negative"), help));
        }
    }
}

fn is_number(value: &Expr) -> bool {
    matches!(value, Expr::Lit(literal) if matches!(literal.lit, Lit::Int(_) | Lit::Float(_)))
}
