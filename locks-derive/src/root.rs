//! The path of the library in the expansion.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Path;

use crate::attr::Keyed;

/// `crate = path`, or the library's own name.
#[derive(Clone)]
pub(crate) struct Root(Option<Path>);

impl Root {
    pub(crate) fn new(given: Option<Keyed<Path>>) -> Self {
        Self(given.map(|given| given.value))
    }
}

impl ToTokens for Root {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match &self.0 {
            Some(path) => path.to_tokens(tokens),
            None => tokens.extend(quote!(::diesel_locks)),
        }
    }
}
