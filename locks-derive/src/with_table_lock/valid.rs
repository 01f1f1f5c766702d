//! What can be expanded. All that can fail has failed before.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::LitStr;

use super::args::{Args, FORM, Table};
use crate::diagnostic::{Faults, duplicate, fault, looks_like};

impl Args {
    pub(super) fn check(&self, faults: &mut Faults) {
        self.options.check(faults);
        for level in [&self.read, &self.write].into_iter().flatten() {
            check_level(&level.value, faults);
        }
    }

    /// The calls that describe the tables.
    pub(super) fn tables(&self) -> TokenStream {
        let levels = [&self.read, &self.write].into_iter().flatten();
        levels.flat_map(|level| level.value.iter().map(|table| table.call(&level.key))).collect()
    }
}

fn check_level(tables: &[Table], faults: &mut Faults) {
    let mut seen = Vec::new();
    for table in tables {
        if let Some(empty) = table.literals().into_iter().find(|name| name.value().is_empty()) {
            faults.add(fault(empty, "the table's name is empty", looks_like(FORM)));
        }
        let tokens = table.to_token_stream().to_string();
        if seen.contains(&tokens) {
            faults.add(duplicate(table, tokens, "remove one of them"));
        } else {
            seen.push(tokens);
        }
    }
}

impl Table {
    fn literals(&self) -> Vec<&LitStr> {
        match self {
            Self::Model(_) => Vec::new(),
            Self::Named(table) => vec![table],
            Self::InDatabase(database, table) => vec![database, table],
        }
    }

    fn call(&self, level: &Ident) -> TokenStream {
        let site = Span::mixed_site();
        let by_name = format_ident!("{level}_table", span = site);
        match self {
            Self::Model(model) => {
                let by_model = Ident::new(&level.to_string(), site);
                quote_spanned!(site=> .#by_model::<#model>())
            }
            table => quote_spanned!(site=> .#by_name(#table)),
        }
    }
}

impl ToTokens for Table {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Model(model) => model.to_tokens(tokens),
            Self::Named(table) => table.to_tokens(tokens),
            Self::InDatabase(database, table) => tokens.extend(quote!((#database, #table))),
        }
    }
}
