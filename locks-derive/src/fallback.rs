//! What a macro leaves behind when it refuses its input, so that one mistake gives one message, and
//! editors still know the item.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Error;

/// The errors, and what is kept: an implementation in place of the real one, or the function.
pub(crate) fn errors_with(errors: Option<&Error>, kept: impl ToTokens) -> TokenStream {
    let mut tokens = errors.map(Error::to_compile_error).unwrap_or_default();
    kept.to_tokens(&mut tokens);
    tokens
}
