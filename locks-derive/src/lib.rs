//! The derive and attribute macros of `diesel-locks`, which re-exports them.
use proc_macro::TokenStream;

/// Makes a Diesel model lockable by its type.
#[proc_macro_derive(LockableTable, attributes(lockable, diesel))]
pub fn lockable_table(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
