//! What a macro leaves behind when it refuses its input, so that one mistake gives one message.

use proc_macro2::TokenStream;
use syn::Error;

/// The errors, and an implementation in place of the real one.
pub(crate) fn with_stub(error: &Error, stub: Option<TokenStream>) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(stub);
    tokens
}
